# `nix develop`: the toolchain, the programs of the stack, and the tools of the trade. Redpanda and its console are
# some gigabytes that are not free software: `nix develop .#redpanda` has them too.
{
  lib,
  stdenv,
  craneLib,
  actionlint,
  apacheKafka,
  cargo-deny,
  cargo-nextest,
  chromedriver,
  chromium,
  deadnix,
  diesel-cli,
  grafana,
  grafana-loki,
  grpcurl,
  hyperfine,
  just,
  nixfmt,
  opentelemetry-collector-contrib,
  process-compose,
  prometheus,
  redpanda-client,
  rust-analyzer,
  shellcheck,
  sqlite,
  statix,
  tempo,
  more ? [ ],
}:
craneLib.devShell {
  packages =
    more
    ++ [
      # The stack.
      apacheKafka
      grafana
      grafana-loki
      opentelemetry-collector-contrib
      process-compose
      prometheus
      prometheus.cli
      tempo

      # To look into it.
      grpcurl
      hyperfine
      redpanda-client
      sqlite

      # To work on it.
      actionlint
      cargo-deny
      cargo-nextest
      deadnix
      diesel-cli
      just
      nixfmt
      rust-analyzer
      shellcheck
      statix
    ]
    ++ lib.optionals stdenv.hostPlatform.isLinux [
      # For the tests of the pages.
      chromedriver
      chromium
    ];

  # To stderr, so that what a command in the shell prints is its own.
  shellHook = ''
    echo "otelix: 'just' lists what there is to do" >&2
  '';
}
