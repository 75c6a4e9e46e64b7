//! The plan of the house, held to by a test: folders are floors, and a crate imports only from floors below its own.
//!
//! ```text
//! 3  deploy/*   executor-conformance                wires everything; nothing below depends on it
//! 2  consensus-svc   executor-proxy                 shells; never import each other
//! 1  their cores, consensus-sim, the ledger, client pure, but for the client; the simulator stands on its core
//! 0  proto  proto/telemetry  proto/shell            the contract, and what services stand on
//! ```
//!
//! `proto/shell` is no contract. It stands on floor 0 because both services need the same durable store, supervision, gRPC
//! set-up and configuration, and may not import each other; any higher it could not serve the client.
//!
//! Development dependencies count too: a test that reaches upward is a cycle in people's heads.

mod floors {
    pub(crate) mod plan;
    pub(crate) mod rules;
}

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use floors::rules::{Edge, Workspace, forbidden_imports, forbidden_in_pure, foreign_entries};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

fn metadata() -> Metadata {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Only what this machine builds: the rest need not be downloaded.
    let mut options = vec!["--locked".to_owned()];
    if let Some(host) = host() {
        options.extend(["--filter-platform".to_owned(), host]);
    }
    MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .other_options(options)
        .exec()
        .expect("cargo metadata runs where cargo test does")
}

fn host() -> Option<String> {
    let version = Command::new("rustc").arg("-vV").output().ok()?.stdout;
    let version = String::from_utf8(version).ok()?;
    version.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

/// Imports between crates of the workspace.
fn workspace(metadata: &Metadata) -> Workspace {
    let members = metadata.workspace_packages();
    let names: BTreeSet<_> = members.iter().map(|member| member.name.to_string()).collect();
    let edges = members
        .iter()
        .flat_map(|member| {
            member.dependencies.iter().map(|dependency| Edge::new(&member.name, &dependency.name))
        })
        .filter(|edge| names.contains(&edge.to))
        .collect();
    Workspace { crates: names.clone(), edges }
}

/// All packages that a crate is built from, without what only its tests and build scripts use.
fn built_from(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let resolve = metadata.resolve.as_ref().expect("dependencies are resolved");
    let name_of = |id| metadata[id].name.to_string();
    let Some(root) = metadata.workspace_packages().into_iter().find(|member| member.name.as_str() == name)
    else {
        return BTreeSet::new();
    };
    let (mut found, mut open) = (BTreeSet::new(), vec![&root.id]);
    while let Some(id) = open.pop() {
        for dependency in &resolve[id].deps {
            let normal = dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
            if normal && found.insert(name_of(&dependency.pkg)) {
                open.push(&dependency.pkg);
            }
        }
    }
    found
}

#[test]
fn every_import_goes_downward() {
    let found = forbidden_imports(&workspace(&metadata()));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn pure_crates_are_built_from_pure_crates() {
    let metadata = metadata();
    let found: Vec<_> = floors::plan::PURE
        .iter()
        .flat_map(|name| forbidden_in_pure(name, &built_from(&metadata, name)))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_top_level_has_only_the_fixed_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let entries = fs::read_dir(root).expect("the workspace's folder").map(|entry| {
        entry.expect("an entry of the workspace's folder").file_name().to_string_lossy().into_owned()
    });
    assert_eq!(foreign_entries(entries), Vec::<String>::new());
}

mod a_deliberate_mistake_is_reported {
    use super::*;

    fn mistakes(edges: &[(&str, &str)]) -> Vec<String> {
        let edges: Vec<_> = edges.iter().map(|(from, to)| Edge::new(from, to)).collect();
        let crates = edges.iter().flat_map(|edge| [edge.from.clone(), edge.to.clone()]).collect();
        forbidden_imports(&Workspace { crates, edges })
    }

    #[test]
    fn an_import_upward() {
        assert_eq!(
            mistakes(&[("consensus-core", "consensus-svc")]),
            ["consensus-core (floor 1) imports consensus-svc (floor 2): only floors below may be imported"]
        );
    }

    #[test]
    fn an_import_between_the_two_services() {
        assert_eq!(mistakes(&[("consensus-svc", "executor-proxy")]).len(), 1);
        assert_eq!(mistakes(&[("executor-proxy", "consensus-svc")]).len(), 1);
    }

    #[test]
    fn an_import_within_a_floor_outside_the_allowed_pairs() {
        assert_eq!(mistakes(&[("sequencer-core", "reference-ledger")]).len(), 1);
        assert_eq!(mistakes(&[("loadgen", "localnet")]).len(), 1);
        assert!(mistakes(&[("localnet", "loadgen"), ("e2e", "localnet")]).is_empty());
    }

    #[test]
    fn a_crate_without_a_floor() {
        assert_eq!(
            mistakes(&[("newcomer", "metanode-proto")]),
            ["newcomer has no floor: add it to the plan"]
        );
    }

    #[test]
    fn a_crate_may_test_itself_with_its_own_testkit() {
        assert!(mistakes(&[("consensus-core", "consensus-core")]).is_empty());
    }

    #[test]
    fn a_runtime_in_a_pure_crate() {
        let built_from = ["blake3", "tokio"].map(str::to_owned).into();
        assert_eq!(
            forbidden_in_pure("consensus-core", &built_from),
            ["consensus-core is pure, but is built from tokio"]
        );
    }

    #[test]
    fn a_new_name_on_top() {
        let entries = ["proto", ".gitignore", "Cargo.lock", "scripts"].map(str::to_owned);
        assert_eq!(foreign_entries(entries), ["scripts"]);
    }
}
