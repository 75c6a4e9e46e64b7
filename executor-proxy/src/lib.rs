//! Exactly-once delivery of commits to an execution master.
