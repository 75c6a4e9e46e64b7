#!/usr/bin/env bash
# Runs every fuzz target for SECONDS in turn, each in a process of its own that survives what it finds, and prints a table.
# Ends with 1 if anything crashed, ran out of time or memory, or did not run.
#
#   rustup toolchain install nightly --profile minimal && cargo +nightly install cargo-fuzz --locked
#   consensus-svc/core/fuzz/run.sh SECONDS [TARGET...]
set -euo pipefail
cd "$(dirname "$0")"

seconds="${1:?usage: run.sh SECONDS [TARGET...]}"
shift
read -r -a targets <<<"${*:-$(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"|\1|p' Cargo.toml | tr '\n' ' ')}"

mkdir -p results
cargo +nightly run --quiet --example seeds -- corpus
# No sanitizer: our code forbids `unsafe`, and without one more inputs are looked at.
cargo +nightly fuzz build --fuzz-dir . --sanitizer none

crashes_of() {
    if [ -d "artifacts/$1" ]; then find "artifacts/$1" -type f | wc -l; else echo 0; fi
}

failed=0
crashed=0
unfinished=()
rows=()
for target in "${targets[@]}"; do
    log="results/$target.log"
    before=$(crashes_of "$target")
    status=ok
    cargo +nightly fuzz run --fuzz-dir . --sanitizer none "$target" -- \
        -fork=1 -ignore_crashes=0 -max_total_time="$seconds" -max_len=8192 -timeout=20 -rss_limit_mb=2048 \
        >"$log" 2>&1 || status=failed
    crashes=$(($(crashes_of "$target") - before))
    # The last line of progress: `#123: cov: 45 ft: 67 corp: 8 exec/s 9 ...`.
    last=$(grep -E '^#[0-9]+: cov:' "$log" | tail -1 || true)
    executions=$(sed -n 's/^#\([0-9]*\): .*/\1/p' <<<"$last")
    coverage=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' <<<"$last")
    if [ "$crashes" -gt 0 ]; then
        status=crashed
        crashed=1
        failed=1
    elif [ -z "$executions" ]; then
        # It was not built, or ended before it told of any progress.
        status='not run'
    fi
    if [ "$status" != ok ] && [ "$status" != crashed ]; then
        unfinished+=("results/$target.log")
        failed=1
    fi
    rows+=("$(printf '%-18s %12s %9s %8s  %s' "$target" "${executions:--}" "${coverage:--}" "$crashes" "$status")")
    printf '%s\n' "${rows[-1]}" >&2
done

printf '\n%-18s %12s %9s %8s\n' target executions coverage crashes
printf '%s\n' "${rows[@]}"
if [ "$crashed" -ne 0 ]; then
    printf '\nwhat crashed is in %s/artifacts; logs are in results\n' "$PWD"
fi
if [ "${#unfinished[@]}" -ne 0 ]; then
    printf '\nnot run to the end, for a reason told in %s:\n' "$PWD"
    printf '  %s\n' "${unfinished[@]}"
fi
exit "$failed"
