//! Finding several mistakes although serde stops at the first.
//!
//! What was found is put right in a copy of the settings (an unknown key is dropped, a missing or mistyped value replaced
//! by one that is accepted), and the copy is read again, until nothing is wrong or nothing can be put right any more.
//! The copies are thrown away: settings that needed one never reach the service.

use super::Problem;
use figment::{
    Error, Figment,
    error::Kind,
    value::{Dict, Value},
};
use serde::de::DeserializeOwned;

/// A file with more mistakes than this is not a configuration.
const MOST_PROBLEMS: usize = 100;

/// Reads the settings, or says all that is wrong. `env_prefix` with its underscore, for naming variables.
pub(super) fn extract<T: DeserializeOwned>(settings: &Figment, env_prefix: &str) -> Result<T, Vec<Problem>> {
    let mut error = match settings.extract::<T>() {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    let mut root = match settings.extract::<Dict>() {
        Ok(dict) => Value::from(dict),
        Err(syntax) => {
            return Err(syntax.into_iter().map(|error| problem(settings, &error, env_prefix)).collect());
        }
    };
    let mut problems = Vec::new();
    loop {
        // The chain holds the newest first; only the first is about the present copy.
        problems.extend(error.clone().into_iter().map(|error| problem(settings, &error, env_prefix)));
        if problems.len() >= MOST_PROBLEMS {
            return Err(problems);
        }
        match put_right::<T>(&mut root, &error) {
            Some(next) => error = next,
            None => return Err(problems),
        }
    }
}

/// Puts right in `root` what `error` is about; the next error, or `None` if there is none or it cannot be put right.
fn put_right<T: DeserializeOwned>(root: &mut Value, error: &Error) -> Option<Error> {
    let path = field_path(error);
    if matches!(error.kind, Kind::UnknownField(..)) {
        remove(root, &path)?;
        return T::deserialize(&*root).err();
    }
    for candidate in candidates(error) {
        insert(root, &path, candidate)?;
        match T::deserialize(&*root) {
            Ok(_) => return None,
            Err(next) if field_path(&next).starts_with(&path) => {}
            Err(next) => return Some(next),
        }
    }
    None
}

/// Values of which one is likely to be accepted in place of a missing or wrong one.
fn candidates(error: &Error) -> Vec<Value> {
    let variants: &[&str] = match error.kind {
        Kind::UnknownVariant(_, variants) => variants,
        _ => &[],
    };
    let mut candidates: Vec<Value> = variants.iter().map(|variant| Value::from(*variant)).collect();
    candidates.extend([Value::from(1_u8), Value::from(false), Value::from("1"), Value::from(1.0)]);
    candidates.extend([Value::from(Vec::<Value>::new()), Value::from(Dict::new())]);
    candidates.extend(["127.0.0.1:1", "127.0.0.1"].map(Value::from));
    candidates
}

fn remove(root: &mut Value, path: &[String]) -> Option<()> {
    let (key, above) = path.split_last()?;
    match at(root, above)? {
        Value::Dict(_, dict) => dict.remove(key).map(|_| ()),
        _ => None,
    }
}

fn insert(root: &mut Value, path: &[String], value: Value) -> Option<()> {
    let (key, above) = path.split_last()?;
    match at(root, above)? {
        Value::Dict(_, dict) => drop(dict.insert(key.clone(), value)),
        Value::Array(_, array) => *array.get_mut(key.parse::<usize>().ok()?)? = value,
        _ => return None,
    }
    Some(())
}

fn at<'a>(root: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(root, |value, key| match value {
        Value::Dict(_, dict) => dict.get_mut(key),
        Value::Array(_, array) => array.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The path of the field itself: an error about a missing field has the path of its section.
fn field_path(error: &Error) -> Vec<String> {
    let mut path = error.path.clone();
    if let Kind::MissingField(name) = &error.kind {
        path.push(name.to_string());
    }
    path
}

fn problem(settings: &Figment, error: &Error, env_prefix: &str) -> Problem {
    let path = field_path(error);
    let mut message = match &error.kind {
        Kind::MissingField(_) => "is missing".to_owned(),
        Kind::UnknownField(_, []) => "unknown key".to_owned(),
        Kind::UnknownField(_, known) => format!("unknown key; known here: {}", known.join(", ")),
        kind => kind.to_string(),
    };
    let source = settings.find_metadata(&path.join("."));
    if source.is_some_and(|source| source.name.contains("environment")) {
        message.push_str(&format!(
            " (from environment variable {env_prefix}{})",
            path.join("__").to_uppercase()
        ));
    }
    Problem { field: path.join("."), message }
}
