//! Checks, and what became of them.

use std::fmt;

use futures::future::BoxFuture;
use serde::Serialize;

use crate::bench::Bench;

/// What a check comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Runs one check.
pub type Check = for<'a> fn(&'a mut Bench) -> BoxFuture<'a, Outcome>;

/// One check of the contract.
#[derive(Clone, Copy)]
pub struct Row {
    /// Names it on the command line: lower case, with hyphens.
    pub name: &'static str,
    /// The failures that it stands for, as the plan numbers them; may be empty.
    pub ids: &'static str,
    /// What is done, in a few words.
    pub does: &'static str,
    /// What a master that fails should look at, in one line.
    pub advice: &'static str,
    /// The check itself.
    pub check: Check,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row").field("name", &self.name).field("ids", &self.ids).finish_non_exhaustive()
    }
}

/// The master did not do what the contract says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What the contract says.
    pub expected: String,
    /// What came.
    pub came: String,
}

impl Failure {
    /// Both sides, each a part of a sentence.
    pub fn new(expected: impl Into<String>, came: impl Into<String>) -> Self {
        Self { expected: expected.into(), came: came.into() }
    }
}

/// `Ok` where both are equal; the failure names what is compared.
///
/// # Errors
/// [`Failure`] with both values.
pub fn equal<T: PartialEq + fmt::Display>(what: &str, expected: &T, came: &T) -> Outcome {
    if expected == came {
        Ok(())
    } else {
        Err(Failure::new(format!("{what} = {expected}"), came.to_string()))
    }
}

/// Bytes as people read them: hex, `none` for no bytes.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    match bytes {
        [] => "none".to_owned(),
        zero if zero.iter().all(|byte| *byte == 0) => format!("{} zero bytes", zero.len()),
        bytes => hex::encode(bytes),
    }
}
