//! DAGs drawn in a line of text.
//!
//! ```text
//! A1:[A0,B0,C0]; B1:[B0,A0,C0] tx=2; B1b:[B0,A0,D0] t=+50ms; ABCD2:[*]; ABCD3..9:[*]
//! ```
//!
//! A name is a letter (the authority), a number (the round) and, for further blocks of the slot, a suffix `b`, `c`, ...
//! Genesis blocks are `A0`, `B0`, ... Statements end at `;` or at the end of the line, and draw in the order written:
//! an ancestor must be drawn before it is named.
//!
//! - Several letters before the colon draw one block an authority, `3..9` one round after the other.
//! - Several letters in a list name one block an authority: `[ABC1]` is `[A1,B1,C1]`.
//! - `*` names, of each author, the first block drawn in the previous round; `*-BC` leaves authors out.
//! - A single block keeps the order of its list; in all other cases the author's own block comes first.
//! - `tx` gives a block one transaction, `tx=3` three, `tx=3x1000` three of 1000 bytes.
//! - `t=+50ms` is the timestamp, from that of the genesis; without it the round number counts in milliseconds, twins one
//!   millisecond apart.
//!
//! Drawn blocks are signed, and stand below block validity: a drawing may break its rules.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    block::{Block, VerifiedBlock},
    crypto::Signer,
    dag::Dag,
    genesis::Genesis,
    transaction::Transaction,
    types::{AuthorityIndex, BlockRef, Round},
};

/// Why a text draws nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("in `{statement}`: {problem}")]
pub struct DrawError {
    /// The statement that could not be drawn.
    pub statement: String,
    /// What is wrong with it.
    pub problem: DrawProblem,
}

/// What is wrong with a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DrawProblem {
    /// Not `NAME:[ANCESTORS]`.
    #[error("expected NAME:[ANCESTORS], then tx, tx=COUNT, tx=COUNTxBYTES or t=+MILLISms")]
    Shape,
    /// No name of a block.
    #[error("`{0}` is no name: letters, a round, for one letter also a suffix b, c, ...")]
    Name(String),
    /// Neither `tx` nor `t`.
    #[error("`{0}` is none of tx, tx=COUNT, tx=COUNTxBYTES, t=+MILLISms")]
    Attribute(String),
    /// A letter outside the committee.
    #[error("authority {0} is not in the committee")]
    UnknownAuthority(char),
    /// An ancestor that was not drawn before.
    #[error("{0} is not drawn yet")]
    Undrawn(String),
    /// A name drawn before.
    #[error("{0} is drawn twice")]
    DrawnTwice(String),
    /// A twin without any difference.
    #[error("{0} is the same block as its twin: give it other ancestors, a transaction or a time")]
    SameBlock(String),
}

/// Named blocks, and the DAG that holds them.
#[derive(Debug)]
pub struct Drawing {
    genesis: Arc<Genesis>,
    signers: Vec<Signer>,
    dag: Dag,
    named: BTreeMap<String, VerifiedBlock>,
    names: BTreeMap<BlockRef, String>,
    drawn: Vec<VerifiedBlock>,
}

/// Draws a DAG.
///
/// # Panics
/// If the text draws nothing; [`try_draw`] says why instead.
pub fn draw(genesis: &Arc<Genesis>, signers: &[Signer], text: &str) -> Drawing {
    try_draw(genesis, signers, text).unwrap_or_else(|error| panic!("{error}"))
}

/// Draws a DAG.
///
/// # Errors
/// The first statement that cannot be drawn, and why.
pub fn try_draw(genesis: &Arc<Genesis>, signers: &[Signer], text: &str) -> Result<Drawing, DrawError> {
    let mut drawing = Drawing {
        genesis: genesis.clone(),
        signers: signers.to_vec(),
        dag: Dag::new(genesis.clone()),
        named: BTreeMap::new(),
        names: BTreeMap::new(),
        drawn: Vec::new(),
    };
    for (author, letter) in genesis.committee().indexes().zip('A'..='Z') {
        drawing.name_block(format!("{letter}0"), &VerifiedBlock::genesis(genesis, author));
    }
    drawing.try_extend(text)?;
    Ok(drawing)
}

impl Drawing {
    /// Draws more blocks.
    ///
    /// # Panics
    /// If the text draws nothing.
    pub fn extend(&mut self, text: &str) {
        self.try_extend(text).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The DAG that holds all that is drawn.
    pub const fn dag(&self) -> &Dag {
        &self.dag
    }

    /// The DAG, to collect rounds of it.
    pub const fn dag_mut(&mut self) -> &mut Dag {
        &mut self.dag
    }

    /// A block by name.
    ///
    /// # Panics
    /// If the name is not drawn.
    pub fn block(&self, name: &str) -> &VerifiedBlock {
        self.named.get(name).unwrap_or_else(|| panic!("{name} is not drawn"))
    }

    /// Names of blocks, joined by spaces.
    ///
    /// # Panics
    /// If a block is not of this drawing.
    pub fn names<'a>(&self, references: impl IntoIterator<Item = &'a BlockRef>) -> String {
        let name =
            |reference| self.names.get(reference).unwrap_or_else(|| panic!("{reference} is not drawn"));
        references.into_iter().map(|reference| name(reference).as_str()).collect::<Vec<_>>().join(" ")
    }

    /// All blocks in the order drawn, those of the genesis left out.
    pub fn blocks(&self) -> &[VerifiedBlock] {
        &self.drawn
    }

    fn try_extend(&mut self, text: &str) -> Result<(), DrawError> {
        let statements = text.split([';', '\n']).map(str::trim).filter(|statement| !statement.is_empty());
        for statement in statements {
            self.draw_statement(statement)
                .map_err(|problem| DrawError { statement: statement.to_owned(), problem })?;
        }
        Ok(())
    }

    fn draw_statement(&mut self, statement: &str) -> Result<(), DrawProblem> {
        let (head, body) = statement.split_once(':').ok_or(DrawProblem::Shape)?;
        let body = body.trim().strip_prefix('[').ok_or(DrawProblem::Shape)?;
        let (ancestors, attributes) = body.split_once(']').ok_or(DrawProblem::Shape)?;
        let head = Head::parse(head.trim())?;
        let attributes = Attributes::parse(attributes)?;
        for round in head.first_round..=head.last_round {
            for letter in head.letters.chars() {
                let name = format!("{letter}{round}{}", head.suffix);
                let mut references = self.ancestors(round, ancestors)?;
                let author = self.author(letter)?;
                if head.is_several() || ancestors.contains('*') {
                    references.sort_by_key(|reference| reference.author != author);
                }
                self.draw_block(name, Round::new(round), author, references, attributes)?;
            }
        }
        Ok(())
    }

    fn ancestors(&self, round: u64, list: &str) -> Result<Vec<BlockRef>, DrawProblem> {
        let mut references = Vec::new();
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            if let Some(left_out) = item.strip_prefix('*') {
                references.extend(self.previous_round(round, left_out.trim_start_matches('-')));
                continue;
            }
            let head = Head::parse(item)?;
            for letter in head.letters.chars() {
                let name = format!("{letter}{}{}", head.first_round, head.suffix);
                let block = self.named.get(&name).ok_or(DrawProblem::Undrawn(name))?;
                references.push(block.reference());
            }
        }
        Ok(references)
    }

    fn previous_round(&self, round: u64, left_out: &str) -> Vec<BlockRef> {
        ('A'..='Z')
            .filter(|letter| !left_out.contains(*letter))
            .filter_map(|letter| self.named.get(&format!("{letter}{}", round.saturating_sub(1))))
            .map(VerifiedBlock::reference)
            .collect()
    }

    fn author(&self, letter: char) -> Result<AuthorityIndex, DrawProblem> {
        let mut letters = self.genesis.committee().indexes().zip('A'..='Z');
        letters
            .find(|(_, candidate)| *candidate == letter)
            .map(|(author, _)| author)
            .ok_or(DrawProblem::UnknownAuthority(letter))
    }

    fn draw_block(
        &mut self,
        name: String,
        round: Round,
        author: AuthorityIndex,
        ancestors: Vec<BlockRef>,
        attributes: Attributes,
    ) -> Result<(), DrawProblem> {
        if self.named.contains_key(&name) {
            return Err(DrawProblem::DrawnTwice(name));
        }
        let twins = self.dag.slot(crate::types::Slot { round, authority: author }).len() as u64;
        let offset_ms = attributes.offset_ms.unwrap_or_else(|| round.get().saturating_add(twins));
        let transaction = |number: usize| {
            let mut payload = format!("{name}/{number}").into_bytes();
            payload.resize(attributes.transaction_bytes.unwrap_or(payload.len()), b'.');
            Transaction::new(Bytes::from(payload))
        };
        let block = Block {
            chain_id: self.genesis.chain_id(),
            epoch: self.genesis.committee().epoch(),
            round,
            author,
            timestamp: self.genesis.timestamp().plus(Duration::from_millis(offset_ms)),
            ancestors,
            transactions: (0..attributes.transactions).map(transaction).collect(),
            commit_votes: Vec::new(),
            executed_roots: Vec::new(),
            epoch_vote: None,
        };
        let signer = self.signers.get(author.as_usize()).expect("as many signers as authorities");
        let block = block.sign(signer);
        if !self.dag.insert(block.clone()) {
            return Err(DrawProblem::SameBlock(name));
        }
        self.name_block(name, &block);
        self.drawn.push(block);
        Ok(())
    }

    fn name_block(&mut self, name: String, block: &VerifiedBlock) {
        self.names.insert(block.reference(), name.clone());
        self.named.insert(name, block.clone());
    }
}

/// What stands before the colon, or one item of a list.
struct Head<'a> {
    letters: &'a str,
    first_round: u64,
    last_round: u64,
    suffix: &'a str,
}

impl<'a> Head<'a> {
    fn parse(text: &'a str) -> Result<Self, DrawProblem> {
        let parsed = || {
            let (letters, rest) = text.split_at_checked(text.find(|c: char| !c.is_ascii_uppercase())?)?;
            let digits = |rest: &'a str| {
                rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()))
            };
            let (first, rest) = digits(rest)?;
            let (last, suffix) = rest.strip_prefix("..").map_or(Some((first, rest)), digits)?;
            let head =
                Self { letters, first_round: first.parse().ok()?, last_round: last.parse().ok()?, suffix };
            let is_suffix = suffix.is_empty()
                || (suffix.len() == 1 && suffix.starts_with(|c: char| ('b'..='z').contains(&c)));
            let is_named = !letters.is_empty() && (suffix.is_empty() || !head.is_several());
            (is_suffix && is_named).then_some(head)
        };
        parsed().ok_or_else(|| DrawProblem::Name(text.to_owned()))
    }

    const fn is_several(&self) -> bool {
        self.letters.len() > 1 || self.first_round != self.last_round
    }
}

/// What stands after the list.
#[derive(Clone, Copy, Default)]
struct Attributes {
    transactions: usize,
    transaction_bytes: Option<usize>,
    offset_ms: Option<u64>,
}

impl Attributes {
    fn parse(text: &str) -> Result<Self, DrawProblem> {
        let mut attributes = Self::default();
        for word in text.split_whitespace() {
            attributes.take(word).ok_or_else(|| DrawProblem::Attribute(word.to_owned()))?;
        }
        Ok(attributes)
    }

    fn take(&mut self, word: &str) -> Option<()> {
        if word == "tx" {
            self.transactions = 1;
        } else if let Some(count) = word.strip_prefix("tx=") {
            let (count, bytes) =
                count.split_once('x').map_or((count, None), |(count, bytes)| (count, Some(bytes)));
            self.transactions = count.parse().ok()?;
            self.transaction_bytes = bytes.map(str::parse).transpose().ok()?;
        } else {
            let offset = word.strip_prefix("t=+")?.strip_suffix("ms")?;
            self.offset_ms = Some(offset.parse().ok()?);
        }
        Some(())
    }
}
