//! What both services stand on: configuration, durable sled, supervised tasks, gRPC status details.
