//! Compiles the protobuf files without protoc: protox is a compiler in Rust.

use std::{env, fs, path::PathBuf};

const FILES: [&str; 8] = [
    "metanode/consensus/v1/commit.proto",
    "metanode/consensus/v1/commit_service.proto",
    "metanode/consensus/v1/explain.proto",
    "metanode/consensus/v1/node_service.proto",
    "metanode/consensus/v1/transaction_service.proto",
    "metanode/executor/v1/executor_service.proto",
    "metanode/legacy/v1/legacy.proto",
    "metanode/peer/v1/peer_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=metanode");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES)?;
    fs::write(out.join("descriptor.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().bytes(".").compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
