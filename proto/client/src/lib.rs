//! Rust client kit: submit transactions and follow commits, with retry as the services ask for it.
