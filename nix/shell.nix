# `nix develop`: the toolchain, the programs of the stack, and the tools of the trade. Redpanda and its console are
# some gigabytes that are not free software: `nix develop .#kafka` does without them.
{
  lib,
  stdenv,
  craneLib,
  actionlint,
  apacheKafka,
  backends,
  cargo-deny,
  cargo-nextest,
  chromedriver,
  chromium,
  deadnix,
  diesel-cli,
  grafana,
  grpcurl,
  hyperfine,
  just,
  nixfmt,
  process-compose,
  prometheus,
  redpanda,
  redpanda-client,
  redpanda-console,
  rust-analyzer,
  shellcheck,
  sqlite,
  statix,
  with-redpanda ? true,
}:
craneLib.devShell {
  packages =
    backends
    ++ [
      # The rest of the stack.
      apacheKafka
      grafana
      process-compose
      prometheus.cli

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
    ++ lib.optionals (with-redpanda && lib.meta.availableOn stdenv.hostPlatform redpanda) [
      redpanda
      redpanda-console
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
