//! Order and exactly-once in front of an executor, pure.
