# List the recipes
default:
    @just --list

# cargo shows its progress on a terminal only
quiet := "$([ -t 2 ] || echo --quiet)"

# The whole system in one process, at http://127.0.0.1:8082
run *arguments:
    @cargo run {{quiet}} -- {{arguments}}

# Lens alone, for any program that sends OTLP, at http://127.0.0.1:8086
lens *arguments:
    @cargo run {{quiet}} -p lens -- {{arguments}}

# All tests
test *arguments:
    cargo test --workspace {{arguments}}

# Build Prometheus, Alertmanager, the collector and Kafka at their pinned versions: 10 minutes the first time
backends:
    .ci/backends/build

# Every check, as in CI; `just ci --long` also runs the tests that take minutes
ci *arguments:
    .ci/run {{arguments}}

# The folder of the programs that `programs` builds
release := absolute_path(env("CARGO_TARGET_DIR", "target") / "release")

# The port of process-compose's API, which vitals and preflight also use
export PC_PORT_NUM := env("SUPERVISOR_PORT", "8099")

# With kafka=1: Apache Kafka instead of Redpanda
kafka := ""
files := "-f process-compose.yaml" + if kafka == "" { "" } else { " -f process-compose.kafka.yaml" }
# With profiles=1: Pyroscope too, for `just up` and `just lgtm`
profiles := ""
with_profiles := if profiles == "" { "" } else { " -f process-compose.profiles.yaml" }
services := "broker,user,auth,frontend,loadgen,vitals"
broker := if kafka == "" { "redpanda" } else { "kafka" }

# NAME_PORT=tcp://... is a service link of Kubernetes or Docker. process-compose would use it as a port.
without_links := "for link in $(env | grep -E '^[A-Z_]*_PORT=(tcp|udp):' | cut -d= -f1); do unset $link; done;"

# The whole stack, supervised, with a table of startup times; its programs must be on PATH
up: (start ("--broker " + broker) (files + with_profiles))

# The collector, Prometheus, Alertmanager, Loki, Tempo and Grafana alone, for any program that sends OTLP
lgtm: (start "--only otel-collector,admission,prometheus,alertmanager,loki,tempo,grafana" (files + " -f process-compose.lgtm.yaml" + with_profiles))

# The services and their broker, with lens in place of the collector and the backends
with-lens: (start ("--broker " + broker + " --only lens," + services) (files + " -f process-compose.lens.yaml"))

# The services alone; the collector and the broker must already run on this machine
services: (start "--only user,auth,frontend,loadgen,vitals" (files + " -f process-compose.services.yaml"))

[private]
start preflight files: programs
    @# preflight runs here first: under process-compose, its messages go to a log.
    @PATH="{{release}}:$PATH" preflight {{preflight}}{{ if profiles == "" { "" } else { " --profiles" } }}
    @{{without_links}} PATH="{{release}}:$PATH" process-compose {{files}} --detached up >/dev/null
    "{{release}}/vitals" startup

# Watch what runs in a terminal interface; Ctrl-C leaves it running
attach:
    process-compose attach

# Stop what `just up`, `just lgtm`, `just with-lens` or `just services` started
down:
    process-compose down

# Delete all data of the stack
[confirm("Delete all accounts, events, telemetry and secrets in the data folder? [y/N]")]
reset:
    @! process-compose list >/dev/null 2>&1 || { echo "The stack is running. Stop it first: just down"; exit 1; }
    rm -rf "${OTELIX_DATA:-volumes}"

[private]
programs:
    @cargo build {{quiet}} --release --workspace --bins

# Put load on the system that runs, such as `just load --rate 50 --duration 30s`
load *arguments:
    @cargo run {{quiet}} -p loadgen -- {{arguments}}

# Speed, memory and start-up, with telemetry off and on; takes a few minutes
bench:
    cargo bench --package e2e

# Format everything
fmt:
    cargo fmt
