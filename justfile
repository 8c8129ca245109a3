# List the recipes
default:
    @just --list

# The whole system in one process, at http://127.0.0.1:8082
run *arguments:
    cargo run --quiet -- {{arguments}}

# All tests
test *arguments:
    cargo test --workspace {{arguments}}

# Build the real backends at their pinned versions, but Loki and Tempo: 10 minutes the first time
backends:
    .ci/backends/build

# Every check, as CI runs them; `just ci --long` also runs the tests that take minutes
ci *arguments:
    .ci/run {{arguments}}

# process-compose listens where the other processes look for it
export PC_PORT_NUM := env("SUPERVISOR_PORT", "8099")

# With kafka=1: Apache Kafka in Redpanda's place
kafka := ""
files := "-f process-compose.yaml" + if kafka == "" { "" } else { " -f process-compose.kafka.yaml" }
broker := if kafka == "" { "redpanda" } else { "kafka" }

# NAME_PORT=tcp://... is a service link of Kubernetes or Docker, which process-compose would take for a port
without_links := "for link in $(env | grep -E '^[A-Z_]*_PORT=(tcp|udp):' | cut -d= -f1); do unset $link; done;"

# The whole stack, supervised, with a table of what took how long; needs its programs on PATH
up: programs
    @# In the foreground first: in process-compose, its messages would only be in a log.
    @PATH="$PWD/target/release:$PATH" preflight --broker {{broker}}
    @{{without_links}} PATH="$PWD/target/release:$PATH" process-compose {{files}} --detached up >/dev/null
    target/release/vitals startup

# The stack in a terminal interface
attach:
    process-compose attach

# Stop the stack
down:
    process-compose down

# Delete all data of the stack
[confirm("Delete all accounts, events, telemetry and secrets in the data folder? [y/N]")]
reset:
    @! process-compose list >/dev/null 2>&1 || { echo "it runs: just down"; exit 1; }
    rm -rf "${OTELIX_DATA:-volumes}"

[private]
programs:
    cargo build --quiet --release --workspace --bins

# Put some load on what `just run` started
load *arguments:
    cargo run --quiet --release -p loadgen -- {{arguments}}

# Speed, memory and start-up, with telemetry off and on; takes a few minutes
bench:
    cargo bench --package e2e

# Format everything
fmt:
    cargo fmt
