//! Errors of opening, reading and writing a store.

use std::{io, path::PathBuf};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open, and still had when the deadline passed. Trying again helps once that one ended.
    #[error("database {} is in use by {}; stop that process first, two must never share one database",
        path.display(), holder_text(*holder))]
    Locked {
        /// Folder of the database.
        path: PathBuf,
        /// Process id that the holder wrote down, if it can be read.
        holder: Option<u32>,
    },
    /// The files cannot be understood.
    #[error("database {} is damaged: {reason}; set it aside and restore or rebuild it", path.display())]
    Damaged {
        /// Folder of the database.
        path: PathBuf,
        /// What sled said, or the panic that it ended in.
        reason: String,
    },
    /// Written by another version of this software.
    #[error("database {} has schema version {found}, this program reads version {expected}", path.display())]
    Version {
        /// Folder of the database.
        path: PathBuf,
        /// Version that is stamped into the database.
        found: u32,
        /// [`super::SCHEMA_VERSION`].
        expected: u32,
    },
    /// The operating system refused.
    #[error("cannot open database {}", path.display())]
    Io {
        /// Folder of the database, or the file in it.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The version stamp of a new database could not be written, or blob files are present.
    #[error("cannot prepare database {}", path.display())]
    Prepare {
        /// Folder of the database.
        path: PathBuf,
        /// What failed.
        #[source]
        source: StoreError,
    },
}

fn holder_text(holder: Option<u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
}

/// Why a value could not be read. Neither case is mended by trying again: the service stops.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The stored bytes do not match their checksum, or parts are missing.
    #[error("value of key {key} is damaged")]
    Damaged {
        /// The key, in hex.
        key: String,
    },
    /// sled failed to read.
    #[error("cannot read from the database")]
    Storage {
        /// What sled said.
        #[source]
        source: sled::Error,
    },
}

/// Why a write is not known to be durable. After the first one nothing may be written any more: what follows could
/// become durable over a hole.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// sled did not take the batch.
    #[error("cannot apply a batch")]
    Apply {
        /// What sled said.
        #[source]
        source: sled::Error,
    },
    /// A value is longer than 4 GiB.
    #[error("value of key {key} has {size_bytes} bytes, over the limit of 4 GiB")]
    ValueTooLarge {
        /// The key, in hex.
        key: String,
        /// Its length.
        size_bytes: usize,
    },
    /// sled could not write its buffers.
    #[error("cannot flush the database")]
    Flush {
        /// What sled said.
        #[source]
        source: sled::Error,
    },
    /// The device did not confirm.
    #[error("cannot sync the database to the device")]
    Sync {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// sled moved a page out into a blob file, which it never syncs: durability can no longer be promised.
    #[error("unsynced blob file {} appeared in the database", path.display())]
    BlobFile {
        /// The file.
        path: PathBuf,
    },
    /// The folder of blob files cannot be listed.
    #[error("cannot list the blob files of the database")]
    BlobFolder {
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The storage thread panicked.
    #[error("the storage thread panicked: {reason}")]
    Panicked {
        /// Text of the panic.
        reason: String,
    },
}
