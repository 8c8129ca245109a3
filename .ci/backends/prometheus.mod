// Built without the discovery of clouds and orchestrators (tag remove_all_sd), which the stack does not use.
module otelix.invalid/prometheus

go 1.26.0

require github.com/prometheus/prometheus v0.315.0 // 3.15.0
