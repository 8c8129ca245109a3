# `nix develop`: the toolchain, the programs of the stack, and development tools. Redpanda and its console are some
# gigabytes and not free software: `nix develop .#kafka` leaves them out.
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

      # To inspect it.
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

  # To stderr, so that stdout holds only the output of `nix develop --command`.
  shellHook = ''
    echo "otelix: 'just' lists the common commands" >&2
  '';
}
