//! The list of accounts that a ledger starts with.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use metanode_proto::genesis::GenesisAccount;

use crate::genesis_file::key_bytes;

/// Why a list of accounts cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The file cannot be read.
    #[error("cannot read accounts {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Lines that are not `PUBLIC_KEY:BALANCE`.
    #[error("accounts {}: {} not PUBLIC_KEY:BALANCE (64 hex digits, a colon, a whole number)",
        path.display(), lines_text(lines))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Numbers of the lines, from 1.
        lines: Vec<usize>,
    },
}

/// Reads a file of lines `PUBLIC_KEY:BALANCE`. Empty lines and those that begin with `#` are passed over.
///
/// # Errors
/// [`AccountsError`], with all wrong lines.
pub fn read_accounts(path: &Path) -> Result<Vec<GenesisAccount>, AccountsError> {
    let text = fs::read_to_string(path)
        .map_err(|source| AccountsError::Unreadable { path: path.to_owned(), source })?;
    let (mut accounts, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match account(line) {
            Some(account) => accounts.push(account),
            None => wrong.push(number),
        }
    }
    if wrong.is_empty() {
        Ok(accounts)
    } else {
        Err(AccountsError::Malformed { path: path.to_owned(), lines: wrong })
    }
}

fn account(line: &str) -> Option<GenesisAccount> {
    let (key, balance) = line.split_once(':')?;
    let key = key_bytes(key.trim())?;
    Some(GenesisAccount { public_key: hex::encode(key), balance: balance.trim().parse().ok()? })
}

fn lines_text(lines: &[usize]) -> String {
    match lines {
        [line] => format!("line {line} is"),
        lines => {
            let numbers: Vec<_> = lines.iter().map(ToString::to_string).collect();
            format!("lines {} are", numbers.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_in_order_and_all_wrong_lines_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts");
        let (first, second) = ("Ab".repeat(32), "01".repeat(32));
        fs::write(&path, format!("# faucet\n{first}:5\n\n {second} : 18446744073709551615\n")).unwrap();
        let accounts = read_accounts(&path).unwrap();
        assert_eq!(accounts[0], GenesisAccount { public_key: "ab".repeat(32), balance: 5 });
        assert_eq!((accounts.len(), accounts[1].balance), (2, u64::MAX));
        fs::write(&path, format!("{first}:5\n{first}\n{first}:-1\nab:1\n")).unwrap();
        let error = read_accounts(&path).unwrap_err();
        assert!(error.to_string().contains("lines 2, 3, 4 are not PUBLIC_KEY:BALANCE"), "{error}");
    }
}
