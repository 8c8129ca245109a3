# The stack as programs: process-compose with its files and configurations of this very revision, and on PATH
# exactly the pinned programs. Data lives in ./volumes of wherever it is started, or in OTELIX_DATA.
{
  lib,
  stdenv,
  writeShellApplication,
  apacheKafka,
  backends,
  bashNonInteractive,
  coreutils,
  grafana,
  process-compose,
  redpanda,
  redpanda-console,
  workspace,
}:
let
  inherit (lib) fileset;

  files = fileset.toSource {
    root = ../.;
    fileset = fileset.unions [
      ../configs
      ../dashboards
      ../process-compose.kafka.yaml
      ../process-compose.lgtm.yaml
      ../process-compose.yaml
    ];
  };

  lgtm = backends ++ [ grafana ];
  inherit (workspace) programs;
  services = [
    programs.auth
    programs.frontend
    programs.loadgen
    programs.user
    programs.vitals
  ];

  stack =
    {
      name,
      description,
      with-programs,
      # A file that changes the one of the whole stack, and what preflight is told of that.
      variant ? null,
      arguments ? [ ],
    }:
    let
      preflight = lib.escapeShellArgs ([ "preflight" ] ++ arguments);
      composed = map (file: "--config ${files}/${file}") (
        [ "process-compose.yaml" ] ++ lib.optional (variant != null) variant
      );
    in
    writeShellApplication {
      inherit name;
      meta = { inherit description; };
      # Whatever else is on the user's PATH has no part in it.
      inheritPath = false;
      runtimeInputs = with-programs ++ [
        bashNonInteractive
        coreutils
        process-compose
        programs.preflight
      ];
      runtimeEnv = {
        OTELIX_CONFIGS = "${files}/configs";
        OTELIX_DASHBOARDS = "${files}/dashboards";
        PC_ADDRESS = "127.0.0.1";
      };
      text = ''
        # Of a container: NAME_PORT=tcp://... is the service link of another program, and process-compose takes it for
        # a port.
        for variable in $(compgen -e); do
          case $variable=''${!variable} in
            *_PORT=tcp://* | *_PORT=udp://*) unset "$variable" ;;
          esac
        done

        export OTELIX_DATA=''${OTELIX_DATA:-$PWD/volumes} PC_PORT_NUM=''${SUPERVISOR_PORT:-8099}

        # It complains where there is no folder of its settings.
        if ! [ -d "''${XDG_CONFIG_HOME:-''${HOME:-}/.config}/process-compose" ]; then
          export PROC_COMP_CONFIG=''${PROC_COMP_CONFIG:-$OTELIX_DATA}
        fi

        case ''${1:-} in
          -h | --help)
            cat <<'HELP'
        ${description}.

        ${name} [FLAG...]                starts it in a terminal interface; the flags are those of `process-compose up`:
        ${name} --detached               starts it in the background
        ${name} attach|down|process|...  does what process-compose does with what runs

        Data, logs and secrets are in ./volumes, or where OTELIX_DATA says. Every port is on loopback, and can be
        changed by a variable: those of `preflight --help`, and SUPERVISOR_PORT for process-compose.
        HELP
            exit
            ;;
          "" | -*) ;;
          *) exec process-compose "$@" ;;
        esac

        # In the foreground first: what keeps it from starting would be in a log otherwise.
        ${preflight}
        if ! [ -t 0 ] || ! [ -t 1 ]; then
          export PC_DISABLE_TUI=1
        fi
        exec process-compose up --disable-dotenv ${toString composed} "$@"
      '';
    };

  with-kafka = {
    with-programs = lgtm ++ services ++ [ apacheKafka ];
    variant = "process-compose.kafka.yaml";
    arguments = [
      "--broker"
      "kafka"
    ];
  };
  with-redpanda = {
    with-programs =
      lgtm
      ++ services
      ++ [
        redpanda
        redpanda-console
      ];
  };
  has-redpanda = lib.meta.availableOn stdenv.hostPlatform redpanda;
in
{
  stack = stack (
    (if has-redpanda then with-redpanda else with-kafka)
    // {
      name = "stack";
      description = "The three services, their broker and the whole observability stack, supervised";
    }
  );

  stack-kafka = stack (
    with-kafka
    // {
      name = "stack-kafka";
      description = "The whole stack, with Apache Kafka in Redpanda's place";
    }
  );

  lgtm = stack {
    name = "lgtm";
    description = "OpenTelemetry Collector, Prometheus, Alertmanager, Loki, Tempo and Grafana, for anybody's services";
    with-programs = lgtm;
    variant = "process-compose.lgtm.yaml";
    arguments = [
      "--only"
      "otel-collector,prometheus,alertmanager,loki,tempo,grafana"
    ];
  };

  reset = writeShellApplication {
    name = "reset";
    meta.description = "Deletes all data of the stack, after a question";
    inheritPath = false;
    runtimeInputs = [
      coreutils
      process-compose
    ];
    runtimeEnv.PC_ADDRESS = "127.0.0.1";
    text = ''
      data=''${OTELIX_DATA:-$PWD/volumes}
      export PC_PORT_NUM=''${SUPERVISOR_PORT:-8099}

      if process-compose list >/dev/null 2>&1; then
        echo "It runs: end it first, by 'nix run .#stack -- down'." >&2
        exit 1
      fi
      # What preflight made, it marked.
      if ! [ -e "$data/configs/MADE-BY-PREFLIGHT.txt" ]; then
        echo "No data of the stack in $data." >&2
        exit 1
      fi
      if [ "''${1:-}" != --yes ]; then
        read -r -p "Delete all accounts, events, telemetry and secrets in $data? [y/N] " answer
        case $answer in y | Y | yes) ;; *) exit 1 ;; esac
      fi
      rm -rf -- "$data"
    '';
  };
}
