// What turns otelcol.yaml into a program.
module otelix.invalid/builder

go 1.26.0

require go.opentelemetry.io/collector/cmd/builder v0.150.0
