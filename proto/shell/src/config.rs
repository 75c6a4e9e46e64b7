//! Reading settings: one TOML file, overridden by environment variables, refused with all mistakes of a step at once.
//!
//! Two steps. [`load`] reads the file into a type of the service's (`#[serde(deny_unknown_fields)]`, so that a mistyped
//! key is found). The service then checks ranges and what hangs together with [`Problems`], and builds its private,
//! valid type. Each lists every mistake that it can find, the second only where the first finds none, numbered, each with its field; the process then ends with
//! [`EX_CONFIG`]. Nothing is clamped.
//!
//! ```
//! use metanode_shell::config::{ConfigError, Problems};
//! # use std::path::Path;
//! # fn check(port: u16, window: u32) -> Result<(), ConfigError> {
//! let mut problems = Problems::default();
//! problems.check(port != 0, "listen.port", "must be at least 1");
//! problems.check((1..=4096).contains(&window), "stream.window", format!("{window} is outside 1 to 4096"));
//! problems.finish(Path::new("consensus.toml"))
//! # }
//! # assert_eq!(check(0, 0).unwrap_err().to_string(), "consensus.toml has 2 mistakes
//! #   1. listen.port: must be at least 1
//! #   2. stream.window: 0 is outside 1 to 4096");
//! ```

mod collect;

use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use serde::de::DeserializeOwned;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// Exit code for a mistake in the configuration (`EX_CONFIG` of sysexits.h): starting again does not help.
pub const EX_CONFIG: u8 = 78;

/// Why there are no usable settings. The operator has to change something; trying again does not help.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Settings are wrong: all that were found.
    #[error("{} has {}{}", path.display(), count_text(problems.len()), numbered(problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// At least one.
        problems: Vec<Problem>,
    },
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key from the root, as `section.key`; empty when it concerns the file as a whole.
    pub field: String,
    /// What is wrong, with the limit where there is one.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.message),
            field => write!(f, "{field}: {}", self.message),
        }
    }
}

/// Collects mistakes, so that an operator sees all of them at once.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    /// Notes `message` about `field` unless `ok`.
    pub fn check(&mut self, ok: bool, field: &str, message: impl Into<String>) {
        if !ok {
            self.push(field, message);
        }
    }

    /// Notes `message` about `field`.
    pub fn push(&mut self, field: &str, message: impl Into<String>) {
        self.found.push(Problem { field: field.to_owned(), message: message.into() });
    }

    /// What was noted, in order.
    pub fn found(&self) -> &[Problem] {
        &self.found
    }

    /// Ends the check of the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with all that was noted, if anything was.
    pub fn finish(self, path: &Path) -> Result<(), ConfigError> {
        match self.found {
            found if found.is_empty() => Ok(()),
            problems => Err(ConfigError::Invalid { path: path.to_owned(), problems }),
        }
    }
}

/// Reads the TOML file at `path`; an environment variable `PREFIX_A__B` replaces key `b` of section `a`, for
/// `env_prefix` `PREFIX`. Names in variables are read in lower case; values as in TOML, bare text as a string (so a string
/// that looks like a number is quoted: `PREFIX_NAME='"7"'`).
///
/// With `deny_unknown_fields` every variable that starts with the prefix must name a field. So the prefix must be one
/// that nothing else uses: Kubernetes sets `CONSENSUS_SVC_PORT` and more for a service `consensus-svc`.
///
/// # Errors
/// [`ConfigError::Unreadable`]; [`ConfigError::Invalid`] with all unknown keys, missing keys and wrong types that can be
/// told from each other (a value that a custom deserializer refuses may hide what follows it).
pub fn load<T: DeserializeOwned>(path: &Path, env_prefix: &str) -> Result<T, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let prefix = format!("{env_prefix}_");
    let settings = Figment::from(Toml::string(&text)).merge(Env::prefixed(&prefix).split("__"));
    collect::extract(&settings, &prefix)
        .map_err(|problems| ConfigError::Invalid { path: path.to_owned(), problems })
}

fn count_text(count: usize) -> String {
    match count {
        1 => "1 mistake".to_owned(),
        count => format!("{count} mistakes"),
    }
}

fn numbered(problems: &[Problem]) -> String {
    (1..).zip(problems).map(|(number, problem)| format!("\n  {number}. {problem}")).collect()
}

#[cfg(test)]
mod tests;
