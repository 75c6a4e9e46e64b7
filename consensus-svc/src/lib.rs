//! DAG-based BFT consensus over gRPC.
