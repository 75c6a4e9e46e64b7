//! The Go master of an authority: where it listens, how it is started, and what its proxy is told of it.

use crate::{executor::ExecutorKind, files::Files, network_file::MasterEntry, process::Role};
use metanode_shell::grpc;
use std::{ffi::OsString, path::Path};

/// Longest path of a Unix socket, in bytes: what the system's address has room for, without its end.
const MAX_SOCKET_BYTES: usize = 107;

/// A path cannot be that of a socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// Too long for an address.
    #[error(
        "is {length} bytes long, and the path of a Unix socket can have {MAX_SOCKET_BYTES}: use a shorter --dir"
    )]
    TooLong {
        /// Bytes of the path.
        length: usize,
    },
    /// With characters that have no place in an address or a configuration file.
    #[error("cannot be written as the address of a Unix socket: use another --dir")]
    NoAddress,
}

/// Where the master of an authority runs; `None` where the kind has no master. Makes nothing.
///
/// # Errors
/// [`SocketError`] where the folder's path leaves no room for sockets.
pub fn entry(
    files: &Files,
    index: usize,
    protocol_key: &str,
    kind: ExecutorKind,
) -> Result<Option<MasterEntry>, SocketError> {
    if !kind.has_master() {
        return Ok(None);
    }
    let folder = files.authority(index);
    let socket = |name: &str| {
        let path = folder.join(name);
        let length = path.as_os_str().len();
        if length > MAX_SOCKET_BYTES {
            return Err(SocketError::TooLong { length });
        }
        let is_plain = |text: &str| !text.contains(['"', '\\']) && !text.contains(char::is_control);
        let is_address = path
            .to_str()
            .is_some_and(|text| is_plain(text) && grpc::endpoint(&format!("unix:{text}")).is_ok());
        if is_address { Ok(path) } else { Err(SocketError::NoAddress) }
    };
    let legacy = kind == ExecutorKind::GoUds;
    Ok(Some(MasterEntry {
        pid: None,
        api_address: format!("unix:{}", socket("master.sock")?.display()),
        blocks: if legacy { Some(socket("blocks.sock")?) } else { None },
        queries: if legacy { Some(socket("queries.sock")?) } else { None },
        authority_key: protocol_key.to_owned(),
        log: files.log(index, Role::Master),
        data_dir: folder.join("master-data"),
    }))
}

/// The command line of a master, without the program.
pub fn arguments(entry: &MasterEntry, genesis: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["run", "--lifeline", "--genesis"].map(Into::into).into();
    arguments.push(genesis.into());
    let mut flag = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        arguments.push(name.into());
        arguments.push(value.as_ref().into());
    };
    flag("--data-dir", &entry.data_dir);
    flag("--listen", &entry.api_address);
    flag("--authority", &entry.authority_key);
    if let (Some(blocks), Some(queries)) = (&entry.blocks, &entry.queries) {
        flag("--uds-blocks", blocks);
        flag("--uds-queries", queries);
        arguments.push("--uds-legacy".into());
    }
    arguments
}

/// The section `[backend]` of the proxy's configuration.
pub fn backend(entry: &MasterEntry) -> String {
    match (&entry.blocks, &entry.queries) {
        (Some(blocks), Some(queries)) => format!(
            "[backend]\nkind = \"uds\"\nblocks = \"{}\"\nqueries = \"{}\"\nlayout = \"executable-block\"\nreports_ready = true\n",
            blocks.display(),
            queries.display()
        ),
        _ => format!("[backend]\nkind = \"grpc\"\nendpoint = \"{}\"\n", entry.api_address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_whose_path_is_too_long_for_sockets_is_refused() {
        let long = Files::new(format!("/{}", "a".repeat(100)));
        let refused = entry(&long, 0, "", ExecutorKind::Go).unwrap_err();
        assert_eq!(refused, SocketError::TooLong { length: 101 + "/authority-0/master.sock".len() });
        assert_eq!(entry(&long, 0, "", ExecutorKind::Embedded), Ok(None));
        assert_eq!(entry(&Files::new("/a\"b"), 0, "", ExecutorKind::Go), Err(SocketError::NoAddress));
    }

    #[test]
    fn a_proxy_is_told_the_sockets_that_its_master_listens_on() {
        let master = |kind| entry(&Files::new("/net"), 2, "ab", kind).unwrap().unwrap();
        let grpc = master(ExecutorKind::Go);
        assert_eq!(
            backend(&grpc),
            "[backend]\nkind = \"grpc\"\nendpoint = \"unix:/net/authority-2/master.sock\"\n"
        );
        assert!(!arguments(&grpc, Path::new("g")).contains(&"--uds-legacy".into()));
        let uds = master(ExecutorKind::GoUds);
        let arguments = arguments(&uds, Path::new("g"));
        for socket in ["blocks.sock", "queries.sock"] {
            let path = format!("/net/authority-2/{socket}");
            assert!(backend(&uds).contains(&format!("\"{path}\"")) && arguments.contains(&path.into()));
        }
    }
}
