//! The watermarks of a node.

use crate::CallError;
use metanode_proto::consensus::v1::{
    GetStatusRequest, GetStatusResponse, node_service_client::NodeServiceClient,
};
use std::time::Duration;
use tonic::transport::Channel;

/// Asks one node how it is doing. Cheap to clone; clones share the connection.
///
/// ```no_run
/// use metanode_client::{CallError, NodeClient};
///
/// # async fn lag() -> Result<(), CallError> {
/// let status = NodeClient::new("http://127.0.0.1:9000")?.status().await?;
/// println!("the executor is {} commits behind", status.commit_index - status.executed_index);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct NodeClient {
    service: NodeServiceClient<Channel>,
}

impl NodeClient {
    /// Time for one answer.
    const TIMEOUT: Duration = Duration::from_secs(5);

    /// A client of the node at `uri`, `http://host:port` or `unix:/path`. Nothing is connected yet.
    ///
    /// # Errors
    /// [`CallError::Endpoint`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(uri: &str) -> Result<Self, CallError> {
        Ok(Self { service: NodeServiceClient::new(metanode_shell::grpc::channel(uri)?) })
    }

    /// Reads the watermarks once; safe to poll.
    ///
    /// # Errors
    /// [`CallError`]; after 5 s without an answer [`CallError::DeadlineExceeded`].
    pub async fn status(&self) -> Result<GetStatusResponse, CallError> {
        let mut service = self.service.clone();
        let answer = tokio::time::timeout(Self::TIMEOUT, service.get_status(GetStatusRequest {}))
            .await
            .map_err(|_| CallError::DeadlineExceeded)?
            .map_err(CallError::from_status)?;
        Ok(answer.into_inner())
    }
}
