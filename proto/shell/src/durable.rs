//! Durable storage: an embedded sled database made to survive power loss, and the one thread that writes to it.
//!
//! Invariants:
//! - A [`WriteBatch`] is whole or absent, also after a kill at any instruction and after power loss.
//! - What [`Store::sync`] has confirmed, or a [`Completion`] has answered, survives power loss. sled's own flush does
//!   not: it ends before the device cache, so every sync ends in `fdatasync` on the log file.
//! - A value comes back as it was written or as [`ReadError::Damaged`]; each carries a BLAKE3 checksum over its key and
//!   bytes.
//! - sled itself cuts a log behind damage in its newest segment, and says nothing (measured: one flipped bit there, 40 of 40
//!   times). Nobody can tell from the database alone; the signing guard and the executor handshake do.
//! - Durability is in order: a batch is durable only if all batches submitted to the writer before it are.
//! - One process has the database; a second one is refused with [`OpenError::Locked`].
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! use metanode_shell::durable::{Store, StoreOptions, WriteBatch, Writer};
//! use std::sync::Arc;
//!
//! let store = Arc::new(Store::open(&folder.path().join("db"), &StoreOptions::default())?);
//! let writer = Writer::spawn(Arc::clone(&store), 64)?;
//! let mut batch = WriteBatch::default();
//! batch.put("m|cursor", 7_u64.to_be_bytes());
//! writer.submit(batch).await?.await?; // durable from here on
//! assert_eq!(store.get(b"m|cursor")?.as_deref(), Some(&7_u64.to_be_bytes()[..]));
//! writer.close().await?;
//! # Ok(())
//! # }
//! ```

mod batch;
mod error;
mod layout;
mod lock;
mod open;
mod scan;
mod store;
mod writer;

pub use batch::WriteBatch;
pub use error::{OpenError, ReadError, StoreError};
pub use open::StoreOptions;
pub use scan::{Entry, Scan};
pub use store::{SCHEMA_VERSION, Store};
pub use writer::{BatchSink, Completion, Group, WriteError, Writer};
