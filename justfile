# List the recipes
default:
    @just --list

# The whole system in one process, at http://127.0.0.1:8082
run *arguments:
    cargo run --quiet -- {{arguments}}

# All tests
test *arguments:
    cargo test --workspace {{arguments}}

# The real backends at their pinned versions, for tests with them: half an hour the first time
backends:
    .ci/backends/build

# Every check, as CI runs them
ci:
    .ci/run

# Put some load on what `just run` started
load *arguments:
    cargo run --quiet --release -p loadgen -- {{arguments}}

# Speed, memory and start-up, with telemetry off and on; takes a few minutes
bench:
    cargo bench --package e2e

# Format everything
fmt:
    cargo fmt
