//! All links of a world: virtual time, messages on their way, and what goes wrong with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use consensus_core::{CommittedSubDag, Genesis};
use consensus_sim::Downstream;
use reference_ledger::{TransferBody, account_key};
use sequencer_core::Position;

use super::{
    bridge::{Bridge, Stage},
    dice::Dice,
    executor::{Answer, Executed, Executor, execute, genesis_ledger, payer},
};

/// How long healed links may take to deliver everything.
const SETTLE_MS: u64 = 20_000;

/// What goes wrong on a link, and what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// The executor dies with a commit taken and not executed.
    DiesBeforeExecuting,
    /// It dies with a commit executed and not durable.
    DiesBeforeSync,
    /// It dies with a commit durable and not acknowledged.
    DiesBeforeAcknowledging,
    /// The connection breaks with a commit durable and not acknowledged.
    AcknowledgementLost,
    /// The connection breaks; what is under way is lost, or comes late.
    Breaks,
    /// A commit comes twice.
    Duplicated,
    /// The executor does nothing for a while.
    Stalls,
}

impl Trouble {
    pub(crate) const ALL: [Self; 7] = [
        Self::DiesBeforeExecuting,
        Self::DiesBeforeSync,
        Self::DiesBeforeAcknowledging,
        Self::AcknowledgementLost,
        Self::Breaks,
        Self::Duplicated,
        Self::Stalls,
    ];
}

#[derive(Debug)]
enum Event {
    /// The service tries to reach its executor.
    Connect {
        node: usize,
        connection: u64,
    },
    /// The question for the position arrives.
    Ask {
        node: usize,
        connection: u64,
    },
    /// Its answer arrives; `None` while the executor is not ready.
    Position {
        node: usize,
        connection: u64,
        ready: bool,
        last: Option<Executed>,
    },
    Open {
        node: usize,
        connection: u64,
        incarnation: u64,
        after: Position,
    },
    Commit {
        node: usize,
        connection: u64,
        sub_dag: Arc<CommittedSubDag>,
    },
    Answer {
        node: usize,
        connection: u64,
        answer: Answer,
    },
    Execute {
        node: usize,
    },
    Sync {
        node: usize,
    },
    Start {
        node: usize,
    },
    Trouble {
        node: usize,
    },
}

#[derive(Debug)]
struct Link {
    bridge: Bridge,
    executor: Executor,
    /// When the last message toward each end arrives: a connection keeps its order.
    arrives_ms: [u64; 2],
    executing: bool,
    syncing: bool,
    stalled_until_ms: u64,
    /// What is to go wrong at the next occasion.
    armed: Option<Trouble>,
    /// Since when the process answers questions.
    ready_ms: u64,
}

/// What was seen over a run.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) troubles: BTreeMap<Trouble, u64>,
    pub(crate) duplicates: u64,
    pub(crate) fenced: u64,
    /// Nodes that died with commits in flight to their executor.
    pub(crate) died_in_flight: u64,
    /// Streams that began with commits that had been sent before.
    pub(crate) resumed: u64,
    pub(crate) commits: u64,
}

/// Everything behind the nodes.
#[derive(Debug)]
pub(crate) struct Delivery {
    dice: Dice,
    troubles: Vec<Trouble>,
    genesis: Option<Arc<Genesis>>,
    now_ms: u64,
    entered: u64,
    events: BTreeMap<(u64, u64), Event>,
    links: BTreeMap<usize, Link>,
    /// What anybody executed at each index, from 1: everybody must execute the same.
    chain: Vec<Executed>,
    nonces: [u64; 4],
    healed: bool,
    pub(crate) seen: Seen,
}

impl Delivery {
    /// Links with these troubles, one every half second or so each.
    pub(crate) fn new(seed: u64, troubles: &[Trouble]) -> Self {
        Self {
            dice: Dice::new(seed),
            troubles: troubles.to_vec(),
            genesis: None,
            now_ms: 0,
            entered: 0,
            events: BTreeMap::new(),
            links: BTreeMap::new(),
            chain: Vec::new(),
            nonces: [0; 4],
            healed: false,
            seen: Seen::default(),
        }
    }

    fn push(&mut self, at_ms: u64, event: Event) {
        self.entered += 1;
        self.events.insert((at_ms.max(self.now_ms), self.entered), event);
    }

    fn run_to(&mut self, end_ms: u64) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= end_ms) {
            let ((at_ms, _), event) = entry.remove_entry();
            self.now_ms = at_ms;
            self.run(event);
        }
        self.now_ms = self.now_ms.max(end_ms);
    }

    fn link(&mut self, node: usize) -> &mut Link {
        self.links.get_mut(&node).expect("a node that has begun")
    }

    /// Sends a message to one end, 0 the service and 1 the executor; order is kept.
    fn send(&mut self, node: usize, end: usize, event: Event) {
        let at_ms = self.now_ms + self.dice.between(1, 15);
        let last_ms = &mut self.link(node).arrives_ms[end];
        *last_ms = at_ms.max(*last_ms);
        let at_ms = *last_ms;
        self.push(at_ms, event);
    }

    fn run(&mut self, event: Event) {
        match event {
            Event::Connect { node, connection } => {
                if self.is_current(node, connection) && matches!(self.link(node).bridge.stage, Stage::Waiting)
                {
                    self.link(node).bridge.stage = Stage::Asked;
                    self.send(node, 1, Event::Ask { node, connection });
                }
            }
            Event::Ask { node, connection } => {
                let now_ms = self.now_ms;
                let link = self.link(node);
                let ready = link.executor.is_up() && now_ms >= link.ready_ms;
                let last = link.executor.executed().last().copied();
                self.send(node, 0, Event::Position { node, connection, ready, last });
            }
            Event::Position { node, connection, ready, last } => self.position(node, connection, ready, last),
            Event::Open { node, connection, incarnation, after } => {
                let authority = [u8::try_from(node).expect("small"); 32];
                // A question that was answered by an earlier process says nothing of this one: the connection is gone.
                if self.is_current(node, connection) {
                    self.link(node).executor.open(connection, authority, incarnation, after);
                }
                self.answer(node);
            }
            Event::Commit { node, connection, sub_dag } => {
                self.link(node).executor.take(connection, sub_dag);
                self.answer(node);
                self.occasion(node, Trouble::DiesBeforeExecuting);
                self.work(node);
            }
            Event::Answer { node, connection, answer } => self.answered(node, connection, answer),
            Event::Execute { node } => {
                self.link(node).executing = false;
                if self.link(node).executor.execute_one() {
                    self.occasion(node, Trouble::DiesBeforeSync);
                    if self.link(node).executor.has_unsynced() && !self.link(node).syncing {
                        self.link(node).syncing = true;
                        let at_ms = self.now_ms + self.dice.between(1, 6);
                        self.push(at_ms, Event::Sync { node });
                    }
                }
                self.work(node);
            }
            Event::Sync { node } => {
                self.link(node).syncing = false;
                self.sync(node);
                self.work(node);
            }
            Event::Start { node } => {
                if !self.link(node).executor.is_up() {
                    // It loads for a while before it answers questions (X02).
                    let ready_ms = self.now_ms + self.dice.between(0, 40);
                    let link = self.link(node);
                    link.executor.start();
                    link.ready_ms = ready_ms;
                }
            }
            Event::Trouble { node } => self.trouble(node),
        }
    }

    fn is_current(&mut self, node: usize, connection: u64) -> bool {
        let bridge = &self.link(node).bridge;
        bridge.is_up() && bridge.connection == connection
    }

    fn position(&mut self, node: usize, connection: u64, ready: bool, last: Option<Executed>) {
        if !self.is_current(node, connection) || !matches!(self.link(node).bridge.stage, Stage::Asked) {
            return;
        }
        let chain_id = self.genesis.as_ref().expect("started").chain_id();
        let bridge = &mut self.link(node).bridge;
        let after = if ready { bridge.compare(last.as_ref(), chain_id) } else { None };
        match after {
            None => self.reconnect(node, 30),
            Some(after) => {
                bridge.stage = Stage::Opening(after);
                let incarnation = bridge.incarnation;
                self.send(node, 1, Event::Open { node, connection, incarnation, after });
            }
        }
    }

    /// Lets the executor's answers go.
    fn answer(&mut self, node: usize) {
        for (connection, answer) in std::mem::take(&mut self.link(node).executor.answers) {
            self.send(node, 0, Event::Answer { node, connection, answer });
        }
    }

    fn answered(&mut self, node: usize, connection: u64, answer: Answer) {
        if !self.is_current(node, connection) {
            return;
        }
        match answer {
            Answer::Opened { incarnation } => {
                self.link(node).bridge.opened(incarnation);
                self.seen.resumed += 1;
            }
            Answer::Acknowledged { executed, duplicate } => {
                let covered = self.link(node).bridge.acknowledge(&executed);
                let place = usize::try_from(executed.position.index).expect("small") - 1;
                assert_eq!(self.chain.get(place), Some(&executed), "another root is acknowledged");
                self.seen.duplicates += u64::from(duplicate && covered == 0);
            }
        }
        self.flow(node);
    }

    /// Sends what the window admits.
    fn flow(&mut self, node: usize) {
        let connection = self.link(node).bridge.connection;
        while let Some(sub_dag) = self.link(node).bridge.next() {
            if self.happens(node, Trouble::Duplicated) {
                self.send(node, 1, Event::Commit { node, connection, sub_dag: sub_dag.clone() });
            }
            self.send(node, 1, Event::Commit { node, connection, sub_dag });
        }
    }

    fn work(&mut self, node: usize) {
        if !self.link(node).executing && self.link(node).executor.has_in_flight() {
            self.link(node).executing = true;
            let at_ms = self.now_ms.max(self.link(node).stalled_until_ms) + self.dice.between(1, 8);
            self.push(at_ms, Event::Execute { node });
        }
    }

    fn sync(&mut self, node: usize) {
        let before = self.link(node).executor.executed().len();
        self.link(node).executor.sync();
        let executed = self.link(node).executor.executed()[before..].to_vec();
        for executed in &executed {
            let place = usize::try_from(executed.position.index).expect("small") - 1;
            match self.chain.get(place) {
                Some(known) => assert_eq!(known, executed, "node {node} executes to another root"),
                None => self.chain.push(*executed),
            }
        }
        if !executed.is_empty() {
            self.occasion(node, Trouble::DiesBeforeAcknowledging);
            if self.happens(node, Trouble::AcknowledgementLost) {
                self.link(node).executor.answers.clear();
                self.break_link(node);
            }
        }
        self.answer(node);
    }

    /// Whether what is armed happens now.
    fn happens(&mut self, node: usize, trouble: Trouble) -> bool {
        let happens = self.link(node).armed == Some(trouble);
        if happens {
            self.link(node).armed = None;
            *self.seen.troubles.entry(trouble).or_default() += 1;
        }
        happens
    }

    /// The executor dies here, if that is armed.
    fn occasion(&mut self, node: usize, trouble: Trouble) {
        if self.link(node).executor.is_up() && self.happens(node, trouble) {
            self.link(node).executor.crash();
            let down_ms = self.dice.between(5, 400);
            self.push(self.now_ms + down_ms, Event::Start { node });
            self.break_link(node);
        }
    }

    /// The connection is lost. What is on its way to the executor may still come out of its buffers, late.
    fn break_link(&mut self, node: usize) {
        let lost: BTreeSet<_> = self
            .events
            .iter()
            .filter(|(_, event)| match event {
                Event::Commit { node: to, .. } => *to == node,
                Event::Answer { node: to, .. } | Event::Position { node: to, .. } => *to == node,
                _ => false,
            })
            .map(|(key, _)| *key)
            .collect();
        let comes_late = self.dice.one_in(2);
        let late_ms = self.now_ms + self.dice.between(10, 150);
        for key in lost {
            let event = self.events.remove(&key).expect("just found");
            if comes_late && matches!(event, Event::Commit { .. }) {
                self.push(late_ms, event);
            }
        }
        self.link(node).arrives_ms = [0; 2];
        if self.link(node).bridge.is_up() {
            let pause_ms = self.dice.between(1, 60);
            self.reconnect(node, pause_ms);
        }
    }

    fn reconnect(&mut self, node: usize, pause_ms: u64) {
        let bridge = &mut self.link(node).bridge;
        bridge.connection += 1;
        bridge.stage = Stage::Waiting;
        let connection = bridge.connection;
        self.push(self.now_ms + pause_ms, Event::Connect { node, connection });
    }

    fn trouble(&mut self, node: usize) {
        if self.healed || self.troubles.is_empty() {
            return;
        }
        let place = self.dice.between(0, self.troubles.len() as u64 - 1);
        let trouble = self.troubles[usize::try_from(place).expect("small")];
        self.link(node).armed = Some(trouble);
        if self.link(node).bridge.in_flight() > 0 && self.happens(node, Trouble::Breaks) {
            self.break_link(node);
        }
        if self.happens(node, Trouble::Stalls) {
            let until_ms = self.now_ms + self.dice.between(50, 900);
            self.link(node).stalled_until_ms = until_ms;
        }
        let next_ms = self.now_ms + self.dice.between(50, 700);
        self.push(next_ms, Event::Trouble { node });
    }

    /// The links get well: everything must be delivered, executed and acknowledged everywhere.
    pub(crate) fn settle(&mut self) {
        self.healed = true;
        for node in self.links.keys().copied().collect::<Vec<_>>() {
            self.link(node).armed = None;
            self.push(self.now_ms, Event::Start { node });
        }
        self.run_to(self.now_ms + SETTLE_MS);
        let longest = self.links.values().map(|link| link.bridge.log.len()).max().unwrap_or_default();
        for (node, link) in &self.links {
            let (log, executed) = (link.bridge.log.len(), link.executor.executed().len());
            assert!(link.bridge.is_up(), "node {node} is down at the end");
            assert_eq!((log, executed), (longest, longest), "node {node} has not executed all");
            assert_eq!(link.bridge.in_flight(), 0, "node {node} waits for acknowledgements at the end");
            assert_eq!(link.executor.executed(), &self.chain[..], "node {node} has executed another chain");
            self.seen.duplicates += link.executor.duplicates;
            self.seen.fenced += link.executor.fenced;
        }
        self.seen.commits = longest as u64;
        self.execute_again();
    }

    /// The log of any node, executed once from the start without any trouble, gives the same roots.
    fn execute_again(&self) {
        let Some(link) = self.links.values().next() else { return };
        let mut ledger = genesis_ledger(self.genesis.as_ref().expect("started").chain_id());
        let again: Vec<_> = link.bridge.log.iter().map(|sub_dag| execute(&mut ledger, sub_dag)).collect();
        assert_eq!(again, self.chain);
    }
}

impl Downstream for Delivery {
    fn starts(&mut self, genesis: &Arc<Genesis>) {
        self.genesis = Some(genesis.clone());
    }

    /// Transfers between four accounts, nonces in the order in which clients make them: those that are committed in another
    /// order are rejected, everywhere alike.
    fn transaction(&mut self, random: u64) -> Option<Bytes> {
        let sender = usize::try_from(random % 4).expect("small");
        let recipient = u8::try_from(random / 4 % 4).expect("small");
        let chain_id = self.genesis.as_ref().expect("started").chain_id();
        let transfer = TransferBody {
            chain_id: reference_ledger::ChainId(*chain_id.as_bytes()),
            recipient: account_key(&payer(recipient)),
            amount: random % 1_000,
            nonce: self.nonces[sender],
            memo: &random.to_le_bytes(),
        };
        self.nonces[sender] += 1;
        let key = payer(u8::try_from(sender).expect("small"));
        Some(transfer.sign(&key).expect("a short memo").into())
    }

    fn begins(&mut self, at_ms: u64, node: usize, log_end: u64) {
        self.run_to(at_ms);
        if !self.links.contains_key(&node) {
            let chain_id = self.genesis.as_ref().expect("started").chain_id();
            let link = Link {
                bridge: Bridge::new(),
                executor: Executor::new(chain_id),
                arrives_ms: [0; 2],
                executing: false,
                syncing: false,
                stalled_until_ms: 0,
                armed: None,
                ready_ms: 0,
            };
            self.links.insert(node, link);
            let first_ms = at_ms + self.dice.between(100, 700);
            self.push(first_ms, Event::Trouble { node });
        }
        let bridge = &mut self.link(node).bridge;
        bridge.log.truncate(usize::try_from(log_end).expect("small"));
        bridge.incarnation = 0;
        self.reconnect(node, 5);
    }

    fn dies(&mut self, at_ms: u64, node: usize) {
        self.run_to(at_ms);
        self.seen.died_in_flight += u64::from(self.link(node).bridge.in_flight() > 0);
        self.link(node).bridge.stage = Stage::Down;
        self.break_link(node);
    }

    fn delivered(&mut self, at_ms: u64, node: usize, sub_dag: &CommittedSubDag) {
        self.run_to(at_ms);
        let bridge = &mut self.link(node).bridge;
        assert_eq!(sub_dag.commit.index.get(), bridge.log.len() as u64 + 1);
        bridge.log.push(Arc::new(sub_dag.clone()));
        self.flow(node);
    }

    fn passes(&mut self, at_ms: u64) {
        self.run_to(at_ms);
    }
}
