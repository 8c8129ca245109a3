# The Rust workspace: its dependencies, built once, its programs and its checks.
{
  lib,
  stdenv,
  runCommand,
  craneLib,
  libiconv,
  # Programs for tests. Tests whose program is missing are ignored.
  apacheKafka,
  backends,
  cargo-nextest,
  chromedriver,
  chromium,
  dejavu_fonts,
  makeFontsConf,
  process-compose,
  prometheus,
}:
let
  inherit (lib) fileset importTOML;

  sourceOf =
    files:
    fileset.toSource {
      root = ../.;
      fileset = fileset.unions files;
    };
  code = [
    ../Cargo.lock
    ../Cargo.toml
    ../crates
    ../proto
    ../services
  ];

  common = {
    pname = "otelix";
    inherit ((importTOML ../Cargo.toml).workspace.package) version;
    src = sourceOf code;
    strictDeps = true;
    cargoExtraArgs = "--locked --workspace";
    inherit ((importTOML ../.cargo/config.toml).env) LIBSQLITE3_FLAGS;
    buildInputs = lib.optional stdenv.hostPlatform.isDarwin libiconv;

    cargoVendorDir = craneLib.vendorCargoDeps {
      src = ../.;
      # A sandbox has no /usr/bin/env, with which librdkafka's configure begins. rdkafka-sys builds in a copy of the
      # sources, and files copied from the store are read-only.
      overrideVendorCargoPackage =
        crate: package:
        if crate.name == "rdkafka-sys" then
          package.overrideAttrs {
            postPatch = ''
              patchShebangs librdkafka/configure
              substituteInPlace build.rs --replace-fail \
                'run_command_or_fail(".", "cp", &["-a", "librdkafka/.", &out_dir]);' \
                'run_command_or_fail(".", "cp", &["-a", "librdkafka/.", &out_dir]);
                 run_command_or_fail(".", "chmod", &["-R", "u+w", &out_dir]);'
            '';
          }
        else
          package;
    };
  };

  programs = craneLib.buildPackage (
    common
    // {
      cargoArtifacts = craneLib.buildDepsOnly (common // { doCheck = false; });
      # The tests are a check of their own.
      doCheck = false;
    }
  );

  program =
    name:
    let
      manifest = (importTOML ../services/${name}/Cargo.toml).package;
    in
    runCommand "${name}-${common.version}"
      {
        pname = name;
        inherit (common) version;
        meta = {
          inherit (manifest) description;
          license = lib.licenses.mit;
          mainProgram = name;
          platforms = lib.platforms.unix;
        };
      }
      ''
        install -D ${programs}/bin/${name} $out/bin/${name}
      '';

  # Tests read more files than the code. They use the profile of development: assertions, and quick links.
  tested = common // {
    src = sourceOf (
      code
      ++ [
        ../.ci/backends
        ../.config
        ../ARCHITECTURE.md
        ../clippy.toml
        ../configs
        ../dashboards
        ../deny.toml
        ../docs
        ../process-compose.kafka.yaml
        ../process-compose.lens.yaml
        ../process-compose.lgtm.yaml
        ../process-compose.profiles.yaml
        ../process-compose.services.yaml
        ../process-compose.yaml
        ../rustfmt.toml
      ]
    );
    CARGO_PROFILE = "dev";
    doInstallCargoArtifacts = false;
  };
  checked = tested // {
    cargoArtifacts = craneLib.buildDepsOnly (removeAttrs tested [ "doInstallCargoArtifacts" ]);
  };
in
{
  inherit (common) version;

  programs = lib.genAttrs [
    "admission"
    "auth"
    "frontend"
    "lens"
    "loadgen"
    "otelix"
    "preflight"
    "user"
    "vitals"
  ] program;

  checks = {
    clippy = craneLib.cargoClippy (
      checked // { cargoClippyExtraArgs = "--all-targets -- --deny warnings"; }
    );
    doc = craneLib.cargoDoc (checked // { env.RUSTDOCFLAGS = "--deny warnings"; });
    fmt = craneLib.cargoFmt { inherit (tested) pname version src; };
    deny = craneLib.cargoDeny {
      inherit (tested)
        pname
        version
        src
        cargoVendorDir
        ;
      # With vendored crates, cargo-deny reports every workspace dependency as unused.
      cargoDenyChecks = "--allow unused-workspace-dependency bans licenses sources";
    };
    # Not crane's cargoNextest, which adds the tools of coverage.
    nextest = craneLib.mkCargoDerivation (
      checked
      // {
        pnameSuffix = "-nextest";
        env = {
          OTELIX_LONG_TESTS = "1";
        }
        // lib.optionalAttrs stdenv.hostPlatform.isLinux {
          # A sandbox has no fonts, and Chromium aborts without any.
          FONTCONFIG_FILE = makeFontsConf { fontDirectories = [ dejavu_fonts ]; };
        };
        # The sandbox of macOS otherwise forbids listening on 127.0.0.1.
        __darwinAllowLocalNetworking = true;
        buildPhaseCargoCommand = "cargo nextest run --locked --workspace --no-fail-fast --show-progress none";
        nativeBuildInputs =
          backends
          ++ [
            apacheKafka
            cargo-nextest
            process-compose
            prometheus.cli
          ]
          ++ lib.optionals stdenv.hostPlatform.isLinux [
            chromedriver
            chromium
          ];
      }
    );
  };
}
