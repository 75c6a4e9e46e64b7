//! One call to a running node, as commands make it.

use std::{
    io::{self, Write},
    time::Duration,
};

use metanode_proto::consensus::v1::node_service_client::NodeServiceClient;
use metanode_shell::{
    grpc::{self, EndpointError},
    status::reason_of,
};
use tokio::{runtime, time::timeout};
use tonic::{Code, Response, Status, transport::Channel};

/// How long a node may take to answer.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);
/// Largest answer that is taken, in bytes: one proof of equivocation may hold two of the largest blocks.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("no answer from {endpoint}: is the node running, and is this its api_listen address?")]
    Call {
        endpoint: String,
        #[source]
        source: Box<Status>,
    },
    #[error(
        "{endpoint} runs and has no room for this call now: others hold as many as may be; try again, `status` is always answered"
    )]
    Full {
        endpoint: String,
        #[source]
        source: Box<Status>,
    },
    #[error("{endpoint} answers with an error")]
    Refused {
        endpoint: String,
        #[source]
        source: Box<Status>,
    },
    #[error("no answer from {endpoint} within {} s: it accepts connections, but hangs", DEADLINE.as_secs())]
    Deadline { endpoint: String },
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

/// Calls the node at `endpoint`, in a runtime of its own.
pub(super) fn call<T, F>(
    endpoint: &str,
    call: impl FnOnce(NodeServiceClient<Channel>) -> F,
) -> Result<T, CallError>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(CallError::Runtime)?;
    runtime.block_on(async {
        let client =
            NodeServiceClient::new(grpc::channel(endpoint)?).max_decoding_message_size(MAX_ANSWER_BYTES);
        let answer = timeout(DEADLINE, call(client)).await;
        let answer = answer.map_err(|_| CallError::Deadline { endpoint: endpoint.to_owned() })?;
        answer.map(Response::into_inner).map_err(|source| CallError::of(endpoint, source))
    })
}

impl CallError {
    /// What an error means to who asked: only an answer without a reason may have come from somebody else.
    fn of(endpoint: &str, source: Status) -> Self {
        let (endpoint, code) = (endpoint.to_owned(), source.code());
        let is_told = reason_of(&source).is_some();
        let source = Box::new(source);
        match code {
            Code::ResourceExhausted if is_told => Self::Full { endpoint, source },
            _ if is_told => Self::Refused { endpoint, source },
            _ => Self::Call { endpoint, source },
        }
    }
}

/// Writes what was asked for.
pub(super) fn print(output: &mut dyn Write, text: &str) -> Result<(), CallError> {
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(CallError::Output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_proto::reason;
    use metanode_shell::status;

    #[test]
    fn l06_a_full_node_is_not_taken_for_one_that_does_not_run() {
        let told = |code, text: &str| {
            let source = status::reason(code, reason::TOO_MANY_CALLS, text, &[]);
            CallError::of("http://node", source).to_string()
        };
        assert!(told(Code::ResourceExhausted, "").starts_with("http://node runs and has no room"));
        assert_eq!(told(Code::Internal, ""), "http://node answers with an error");
        let silent = CallError::of("http://node", Status::unavailable("refused")).to_string();
        assert!(silent.contains("is the node running"), "{silent}");
    }
}
