//! Which executor stands behind the proxy: the section `[backend]`.

use metanode_shell::{config::Problems, grpc};
use serde::Deserialize;

use crate::backend::uds::{Address, Layout, LegacyMaster};

/// The section as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BackendSection {
    kind: Kind,
    endpoint: Option<String>,
    blocks: Option<String>,
    queries: Option<String>,
    layout: Option<String>,
    reports_ready: Option<bool>,
    accept_zero: Option<bool>,
    pub(super) execute_timeout_ms: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Embedded,
    Grpc,
    Uds,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Grpc => "grpc",
            Self::Uds => "uds",
        }
    }
}

impl Default for BackendSection {
    fn default() -> Self {
        Self {
            kind: Kind::Embedded,
            endpoint: None,
            blocks: None,
            queries: None,
            layout: None,
            reports_ready: None,
            accept_zero: None,
            execute_timeout_ms: 30_000,
        }
    }
}

/// Which executor stands behind the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// The reference ledger, inside the proxy.
    Embedded,
    /// A master that serves `executor.v1.ExecutorService`.
    Grpc {
        /// Where: `http://host:port` or `unix:/absolute/path`.
        endpoint: String,
    },
    /// An existing master, behind the framed protocol.
    Uds(LegacyMaster),
}

impl BackendSection {
    /// `None` only if a problem was noted.
    pub(super) fn check(&self, problems: &mut Problems) -> Option<BackendKind> {
        self.check_strangers(problems);
        match self.kind {
            Kind::Embedded => Some(BackendKind::Embedded),
            Kind::Grpc => self.check_grpc(problems),
            Kind::Uds => self.check_uds(problems).map(BackendKind::Uds),
        }
    }

    /// Keys that are for another kind.
    fn check_strangers(&self, problems: &mut Problems) {
        let keys = [
            ("backend.endpoint", self.endpoint.is_some(), Kind::Grpc),
            ("backend.blocks", self.blocks.is_some(), Kind::Uds),
            ("backend.queries", self.queries.is_some(), Kind::Uds),
            ("backend.layout", self.layout.is_some(), Kind::Uds),
            ("backend.reports_ready", self.reports_ready.is_some(), Kind::Uds),
            ("backend.accept_zero", self.accept_zero.is_some(), Kind::Uds),
        ];
        for (key, given, of) in keys {
            let problem =
                || format!("is for kind = \"{}\", configured is \"{}\"", of.name(), self.kind.name());
            problems.check(!given || of == self.kind, key, problem());
        }
    }

    fn check_grpc(&self, problems: &mut Problems) -> Option<BackendKind> {
        let endpoint = required(self.endpoint.as_deref(), "backend.endpoint", Kind::Grpc, problems)?;
        match grpc::endpoint(endpoint) {
            Ok(_) => Some(BackendKind::Grpc { endpoint: endpoint.to_owned() }),
            Err(error) => {
                problems.push("backend.endpoint", error.to_string());
                None
            }
        }
    }

    fn check_uds(&self, problems: &mut Problems) -> Option<LegacyMaster> {
        let mut parsed = |value: &Option<String>, key| {
            let text = required(value.as_deref(), key, Kind::Uds, problems)?;
            let address = text.parse::<Address>();
            address.map_err(|error| problems.push(key, error.to_string())).ok()
        };
        let (blocks, queries) =
            (parsed(&self.blocks, "backend.blocks"), parsed(&self.queries, "backend.queries"));
        problems.check(
            blocks.is_none() || blocks != queries,
            "backend.queries",
            "is the same as backend.blocks, a master listens on two sockets",
        );
        let layout = required(self.layout.as_deref(), "backend.layout", Kind::Uds, problems);
        let layout = layout.map(str::parse::<Layout>);
        if let Some(Err(error)) = layout {
            problems.push("backend.layout", error.to_string());
        }
        Some(LegacyMaster {
            blocks: blocks?,
            queries: queries?,
            layout: layout?.ok()?,
            reports_ready: self.reports_ready.unwrap_or(false),
            accept_zero: self.accept_zero.unwrap_or(false),
        })
    }
}

fn required<'a>(
    value: Option<&'a str>,
    key: &'static str,
    kind: Kind,
    problems: &mut Problems,
) -> Option<&'a str> {
    if value.is_none() {
        problems.push(key, format!("is missing; kind = \"{}\" needs it", kind.name()));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(section: &str) -> Result<BackendKind, Vec<String>> {
        let section: BackendSection = toml::from_str(section).unwrap();
        let mut problems = Problems::default();
        let checked = section.check(&mut problems);
        let found: Vec<_> = problems.found().iter().map(ToString::to_string).collect();
        assert_eq!(
            checked.is_none(),
            found.iter().any(|problem| !problem.contains("is for kind")),
            "{found:?}"
        );
        if found.is_empty() { Ok(checked.unwrap()) } else { Err(found) }
    }

    #[test]
    fn an_existing_master_is_configured_by_its_sockets_and_its_layout() {
        let kind = check(
            "kind = 'uds'\nblocks = '/run/executor0.sock'\nqueries = 'tcp://go:1'\nlayout = 'executable-block'",
        );
        let Ok(BackendKind::Uds(master)) = kind else { panic!("{kind:?}") };
        assert_eq!(
            (master.blocks.to_string(), master.queries.to_string()),
            ("/run/executor0.sock".into(), "tcp://go:1".into())
        );
        assert_eq!(
            (master.layout, master.reports_ready, master.accept_zero),
            (Layout::ExecutableBlock, false, false)
        );
    }

    #[test]
    fn all_mistakes_of_the_section_are_listed() {
        let missing = check("kind = 'uds'").unwrap_err();
        assert_eq!(missing.len(), 3, "{missing:?}");
        let wrong =
            check("kind = 'uds'\nblocks = 'a'\nqueries = 'b'\nlayout = 'auto'\nendpoint = 'http://a:1'")
                .unwrap_err();
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        let same = "kind = 'uds'\nblocks = '/a'\nqueries = '/a'\nlayout = 'executable-block'";
        assert_eq!(
            toml::from_str::<BackendSection>(same).map(|section| {
                let mut problems = Problems::default();
                section.check(&mut problems);
                problems.found().len()
            }),
            Ok(1)
        );
        assert_eq!(check("layout = 'executable-block'\nreports_ready = true").unwrap_err().len(), 2);
        assert_eq!(check("kind = 'grpc'").unwrap_err().len(), 1);
    }
}
