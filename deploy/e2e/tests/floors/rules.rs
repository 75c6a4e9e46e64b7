//! The rules over the plan: each returns what breaks it, in words.

use super::plan::{FLOORS, NOT_PURE, TOLERATED, TOP_LEVEL, WITHIN_A_FLOOR};
use std::collections::BTreeSet;

/// One import of a crate by another, of whatever kind.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Edge {
    pub(crate) fn new(from: &str, to: &str) -> Self {
        Self { from: from.to_owned(), to: to.to_owned() }
    }
}

/// The crates of the workspace, and the imports between them.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) crates: BTreeSet<String>,
    pub(crate) edges: Vec<Edge>,
}

/// Crates without a floor, and imports that do not go down.
pub(crate) fn forbidden_imports(workspace: &Workspace) -> Vec<String> {
    let homeless = workspace
        .crates
        .iter()
        .filter(|name| floor(name).is_none())
        .map(|name| format!("{name} has no floor: add it to the plan"));
    let upward = workspace.edges.iter().filter_map(|Edge { from, to }| {
        let (above, below) = (floor(from)?, floor(to)?);
        let allowed = above > below || from == to || WITHIN_A_FLOOR.contains(&(from.as_str(), to.as_str()));
        (!allowed).then(|| {
            format!("{from} (floor {above}) imports {to} (floor {below}): only floors below may be imported")
        })
    });
    homeless.chain(upward).collect()
}

/// What a pure crate must not be built from.
pub(crate) fn forbidden_in_pure(name: &str, built_from: &BTreeSet<String>) -> Vec<String> {
    NOT_PURE
        .iter()
        .filter(|package| built_from.contains(**package))
        .map(|package| format!("{name} is pure, but is built from {package}"))
        .collect()
}

/// Entries of the top level that are not part of the plan.
pub(crate) fn foreign_entries(entries: impl IntoIterator<Item = String>) -> Vec<String> {
    let is_lock = |name: &str| name.rsplit_once('.').is_some_and(|(_, extension)| extension == "lock");
    let planned = |name: &str| TOP_LEVEL.contains(&name) || TOLERATED.contains(&name);
    let mut foreign: Vec<_> = entries
        .into_iter()
        .filter(|name| !name.starts_with('.') && !is_lock(name) && !planned(name))
        .collect();
    foreign.sort_unstable();
    foreign
}

fn floor(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}
