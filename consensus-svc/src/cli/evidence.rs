//! `consensus-svc evidence`: exports the proofs of equivocation that a running node holds.

use std::{io::Write, process::ExitCode};

use clap::Args;
use metanode_proto::consensus::v1::{Equivocation, ListEquivocationsRequest};
use serde_json::{Value, json};

use super::{
    call::{CallError, call, print},
    failure,
};

/// List the proofs that authorities signed two blocks for one slot
#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 0 also if there is none, with 1 if the node does not answer within 5 seconds."
)]
pub struct EvidenceArguments {
    /// Address of the node's API: http://host:port or unix:/path
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7101")]
    endpoint: String,
    /// Print one JSON object a proof and line instead of a table, with the signed bytes of both blocks as hex
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: &EvidenceArguments, output: &mut dyn Write) -> ExitCode {
    match show(arguments, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

/// Prints page by page: what is printed is not held.
fn show(arguments: &EvidenceArguments, output: &mut dyn Write) -> Result<(), CallError> {
    let mut page_token = String::new();
    loop {
        let request = ListEquivocationsRequest { page_size: 0, page_token };
        let page = call(&arguments.endpoint, async |mut client| client.list_equivocations(request).await)?;
        for proof in &page.equivocations {
            let line = if arguments.json { json(proof).to_string() } else { text(proof) };
            print(output, &format!("{line}\n"))?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

fn json(proof: &Equivocation) -> Value {
    json!({
        "epoch": proof.epoch,
        "authority": proof.authority,
        "round": proof.round,
        "first_block": hex::encode(&proof.first_block),
        "second_block": hex::encode(&proof.second_block),
    })
}

fn text(proof: &Equivocation) -> String {
    format!(
        "epoch {} authority {} round {}: two signed blocks of {} and {} bytes",
        proof.epoch,
        proof.authority,
        proof.round,
        proof.first_block.len(),
        proof.second_block.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f07_a_proof_is_printed_with_all_that_judges_it() {
        let proof = Equivocation {
            epoch: 1,
            round: 7,
            authority: 3,
            first_block: vec![1, 2].into(),
            second_block: vec![3].into(),
        };
        let expected = json!({
            "epoch": 1, "authority": 3, "round": 7, "first_block": "0102", "second_block": "03",
        });
        assert_eq!(json(&proof), expected);
        assert_eq!(text(&proof), "epoch 1 authority 3 round 7: two signed blocks of 2 and 1 bytes");
    }
}
