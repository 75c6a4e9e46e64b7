//! Replays recorded cases of the commit rule: `replay_vectors PATH...`, each a file or a folder of `*.json`.
//!
//! Prints a line a failing case, then `passed=N failed=M`. Exit code 1 on a failure, 2 on unreadable input or no case.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs
)]

#[path = "../tests/support/vectors.rs"]
mod vectors;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        eprintln!("usage: replay_vectors PATH...   (files, or folders of *.json)");
        return ExitCode::from(2);
    }
    match replay_all(&paths) {
        Ok((0, 0)) => {
            eprintln!("no case found");
            ExitCode::from(2)
        }
        Ok((passed, failed)) => {
            println!("passed={passed} failed={failed}");
            ExitCode::from(u8::from(failed > 0))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn replay_all(paths: &[PathBuf]) -> Result<(usize, usize), String> {
    let (mut passed, mut failed) = (0, 0);
    for file in files(paths)? {
        for case in vectors::load(&file)? {
            match case.replay() {
                Ok(()) => passed += 1,
                Err(error) => {
                    failed += 1;
                    println!("{}: {error}", case.name);
                }
            }
        }
    }
    Ok((passed, failed))
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = fs::read_dir(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let found =
                entries.map(|entry| entry.map(|entry| entry.path()).map_err(|error| error.to_string()));
            let mut found = found.collect::<Result<Vec<_>, _>>()?;
            found.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
            found.sort();
            files.extend(found);
        } else {
            files.push(Path::to_path_buf(path));
        }
    }
    Ok(files)
}
