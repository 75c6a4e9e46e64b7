//! Rust client kit: submit transactions and follow commits, with retry as the services ask for it.
//!
//! - [`SubmitClient`] hands batches of transactions to an authority and waits for the stage asked for.
//! - [`TransactionWatch`] follows one of them to its end.
//! - [`CommitReader`] reads the sequence of commits over all reconnects, and checks that it is one chain.
//! - [`NodeClient`] reads the watermarks of a node.
//!
//! Errors are typed by gRPC code and by the reason in `google.rpc.ErrorInfo`, never by text: [`CallError`] tells what is
//! known about the call, and whether trying again can help. Retries wait as long as the service asks for (`RetryInfo`),
//! at least the jittered, capped backoff of the [`RetryPolicy`], and end at its deadline.
//!
//! ```no_run
//! use metanode_client::{SubmitClient, WaitFor};
//!
//! # async fn submit(transfer: bytes::Bytes) -> Result<(), metanode_client::CallError> {
//! let client = SubmitClient::new("http://127.0.0.1:9000")?;
//! let submission = client.submit(&[transfer], WaitFor::Executed).await?;
//! println!("executed as part of commit {}", submission.outcomes[0].commit_index);
//! # Ok(())
//! # }
//! ```

mod commits;
mod error;
mod node;
mod retry;
mod submit;
mod watch;

pub use commits::{CommitPosition, CommitReader, ReadError};
pub use error::CallError;
pub use metanode_proto::consensus::v1::{
    Commit, GetStatusResponse, TransactionDropReason, TransactionOutcome, TransactionState, WaitFor,
};
pub use metanode_shell::grpc::EndpointError;
pub use node::NodeClient;
pub use retry::RetryPolicy;
pub use submit::{Submission, SubmitClient};
pub use watch::TransactionWatch;
