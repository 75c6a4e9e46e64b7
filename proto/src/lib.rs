//! The contract of metanode: generated messages, clients and servers of every service, their descriptors for
//! reflection, the stable reasons of errors, and the genesis file that both services read.
//!
//! The `.proto` files beside this crate are the source; they are compiled at build time without `protoc`.

/// Ordering: transactions in, commits out, status.
pub mod consensus {
    /// Version 1 of `metanode.consensus`.
    #[allow(missing_docs, unreachable_pub, missing_debug_implementations, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("metanode.consensus.v1");
    }
}

/// Execution: position, commits in, acknowledgements out.
pub mod executor {
    /// Version 1 of `metanode.executor`.
    #[allow(missing_docs, unreachable_pub, missing_debug_implementations, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("metanode.executor.v1");
    }
}

/// The framed protocol of existing masters.
pub mod legacy {
    /// Version 1 of `metanode.legacy`.
    #[allow(missing_docs, unreachable_pub, missing_debug_implementations, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("metanode.legacy.v1");
    }
}

/// Between authorities: blocks and fetches.
pub mod peer {
    /// Version 1 of `metanode.peer`.
    #[allow(missing_docs, unreachable_pub, missing_debug_implementations, clippy::all, clippy::pedantic)]
    pub mod v1 {
        tonic::include_proto!("metanode.peer.v1");
    }
}

pub mod genesis;
pub mod limits;
pub mod reason;

/// Encoded `google.protobuf.FileDescriptorSet` of all services, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));
