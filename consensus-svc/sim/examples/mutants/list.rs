//! The list of mutants: rules of the core, each broken in one place.

use std::path::Path;

use serde::Deserialize;

/// One deliberately broken rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// Short and unique, in words with dashes.
    pub(crate) name: String,
    /// The rule that it breaks, and where that is written.
    pub(crate) rule: String,
    /// The file, from the top of the repository.
    pub(crate) file: String,
    /// The text that states the rule; stands in the file exactly once.
    pub(crate) from: String,
    /// What stands there instead.
    pub(crate) to: String,
    /// Who must catch it: a package and the beginning of a test's name. Without it, the seeds of the simulator.
    pub(crate) test: Option<Test>,
}

/// Tests of one package.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Test {
    /// The package.
    pub(crate) package: String,
    /// The test's name, or what it begins with.
    pub(crate) name: String,
}

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    mutant: Vec<Mutant>,
}

/// Reads the list and checks it against the sources under `top`.
///
/// # Errors
/// Everything that is wrong, a line each: a name twice, a file that is not there, a text that stands in its file not once.
pub(crate) fn read(top: &Path) -> Result<Vec<Mutant>, String> {
    let path = top.join("consensus-svc/sim/mutants/mutants.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let list: List = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut problems = Vec::new();
    for (place, mutant) in list.mutant.iter().enumerate() {
        if list.mutant[..place].iter().any(|earlier| earlier.name == mutant.name) {
            problems.push(format!("{}: the name stands twice", mutant.name));
        }
        problems.extend(mutant.apply(top).err());
        if mutant.test.as_ref().is_some_and(|test| test.package.is_empty() || test.name.is_empty()) {
            problems.push(format!("{}: its test needs a package and a name", mutant.name));
        }
    }
    if problems.is_empty() { Ok(list.mutant) } else { Err(problems.join("\n")) }
}

impl Mutant {
    /// Whether a text stands in its name, or in that of its test.
    #[allow(dead_code, reason = "the test over this list chooses nothing")]
    pub(crate) fn is_about(&self, text: &str) -> bool {
        self.name.contains(text) || self.test.as_ref().is_some_and(|test| test.name.contains(text))
    }

    /// The text of the file with the rule broken.
    ///
    /// # Errors
    /// If the file cannot be read, or does not hold the text exactly once.
    pub(crate) fn apply(&self, top: &Path) -> Result<String, String> {
        let Self { name, file, from, to, .. } = self;
        let text =
            std::fs::read_to_string(top.join(file)).map_err(|error| format!("{name}: {file}: {error}"))?;
        match text.matches(from.as_str()).count() {
            1 if from != to => Ok(text.replacen(from, to, 1)),
            1 => Err(format!("{name}: changes nothing")),
            found => Err(format!("{name}: its text stands {found} times in {file}, not once")),
        }
    }
}
