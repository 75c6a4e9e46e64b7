//! `buf lint` over the contract. Needs Go; without it the test says that it is skipped, unless REQUIRE_GO=1.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
};

/// buf as a Go module: nothing but Go has to be installed.
const BUF: &str = "github.com/bufbuild/buf/cmd/buf@v1.70.0";

#[test]
fn the_contract_is_clean_by_buf_lint_standard() {
    if !go_is_installed() {
        assert_ne!(env::var("REQUIRE_GO").as_deref(), Ok("1"), "REQUIRE_GO=1, but there is no Go");
        eprintln!("skipped: there is no Go on this machine (REQUIRE_GO=1 makes this a failure)");
        return;
    }
    let output = Command::new("go")
        .args(["run", BUF, "lint"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto"))
        .output()
        .expect("go runs");
    assert!(
        output.status.success(),
        "buf lint:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn go_is_installed() -> bool {
    let version = Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}
