// The newest whose module holds its user interface: later ones do not build from the module alone.
module otelix.invalid/alertmanager

go 1.26.0

require github.com/prometheus/alertmanager v0.28.1
