//! `consensus-svc explain`: asks a running node what it waits for.

mod json;
mod text;

use std::{io::Write, process::ExitCode};

use clap::Args;
use metanode_proto::consensus::v1::ExplainRequest;

use super::{
    call::{CallError, call, print},
    failure,
};

/// Show what a running node waits for: by leader slot, for its next block, of its peers and its executor
#[derive(Debug, Args)]
#[command(after_help = "Ends with 1 if the node does not answer within 5 seconds.")]
pub struct ExplainArguments {
    /// Address of the node's API: http://host:port or unix:/path
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7101")]
    endpoint: String,
    /// Print one JSON object instead of a text; digests as hex
    #[arg(long)]
    json: bool,
}

pub(super) fn main(arguments: &ExplainArguments, output: &mut dyn Write) -> ExitCode {
    match show(arguments, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

fn show(arguments: &ExplainArguments, output: &mut dyn Write) -> Result<(), CallError> {
    let explained = call(&arguments.endpoint, async |mut client| client.explain(ExplainRequest {}).await)?;
    let text = if arguments.json { format!("{:#}\n", json::of(&explained)) } else { text::of(&explained) };
    print(output, &text)
}

#[cfg(test)]
mod tests;
