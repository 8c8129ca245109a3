//! Checks that a receiver keeps the contract of OTLP, against any URL.
