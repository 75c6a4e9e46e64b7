//! Writes what the corpora start from: `seeds FOLDER` makes a folder of inputs for each target in FOLDER.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: seeds FOLDER")?;
    let folder = Path::new(&folder);
    let core = consensus_core::testkit::fuzzing::SEEDS.into_iter();
    for (target, seeds) in core.chain(consensus_svc::fuzzing::SEEDS) {
        write(&folder.join(target), "seed", seeds())?;
    }
    for (target, _, seeds) in executor_proxy::fuzzing::TARGETS {
        write(&folder.join(target), "seed", seeds())?;
    }
    write(&folder.join("block"), "golden", golden("block_")?.into_iter().map(piece).collect())?;
    write(&folder.join("commit"), "golden", golden("commit_")?)
}

fn write(folder: &Path, kind: &str, inputs: Vec<Vec<u8>>) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    for (place, input) in inputs.into_iter().enumerate() {
        fs::write(folder.join(format!("{kind}-{place}")), input)?;
    }
    Ok(())
}

/// The frozen bytes whose file names begin so.
fn golden(prefix: &str) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(prefix) && name.ends_with(".hex") {
            let text = fs::read_to_string(path)?;
            let digits: String = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
            found.push(hex::decode(digits)?);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// A length in two bytes, then the bytes.
fn piece(bytes: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_le_bytes()[..], &bytes].concat()
}
