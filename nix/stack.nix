# The stack as programs: process-compose with the files of this revision, and only pinned programs on PATH. Data is
# kept in ./volumes of the current folder, or in OTELIX_DATA.
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
  pyroscope,
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
      ../docs/runbooks
      ../process-compose.kafka.yaml
      ../process-compose.lens.yaml
      ../process-compose.lgtm.yaml
      ../process-compose.profiles.yaml
      ../process-compose.yaml
    ];
  };

  inherit (workspace) programs;
  lgtm = backends ++ [
    grafana
    programs.admission
  ];
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
      # Files that change process-compose.yaml, and the arguments that tell preflight about them.
      variants ? [ ],
      arguments ? [ ],
      dashboards ? "dashboards",
      # Whether `--profiles` adds Pyroscope.
      with-profiles ? false,
    }:
    let
      preflight = lib.escapeShellArgs ([ "preflight" ] ++ arguments);
      composed = map (file: "--config ${files}/${file}") ([ "process-compose.yaml" ] ++ variants);
    in
    writeShellApplication {
      inherit name;
      meta = { inherit description; };
      # Programs on the user's PATH cannot replace pinned ones.
      inheritPath = false;
      runtimeInputs = with-programs ++ [
        bashNonInteractive
        coreutils
        process-compose
        programs.preflight
      ];
      runtimeEnv.PC_ADDRESS = "127.0.0.1";
      text = ''
        # NAME_PORT=tcp://... is a service link of Kubernetes or Docker, which process-compose would take for a port.
        for variable in $(compgen -e); do
          case $variable=''${!variable} in
            *_PORT=tcp://* | *_PORT=udp://*) unset "$variable" ;;
          esac
        done

        export OTELIX_CONFIGS=''${OTELIX_CONFIGS:-${files}/configs}
        export OTELIX_DASHBOARDS=''${OTELIX_DASHBOARDS:-${files}/${dashboards}}
        export OTELIX_RUNBOOKS=''${OTELIX_RUNBOOKS:-${files}/docs/runbooks}
        export OTELIX_DATA=''${OTELIX_DATA:-$PWD/volumes} PC_PORT_NUM=''${SUPERVISOR_PORT:-8099}

        # process-compose warns if the folder of its settings is missing.
        if ! [ -d "''${XDG_CONFIG_HOME:-''${HOME:-}/.config}/process-compose" ]; then
          export PROC_COMP_CONFIG=''${PROC_COMP_CONFIG:-$OTELIX_DATA}
        fi

        variants=()
        ${lib.optionalString with-profiles ''
          flags=()
          for flag in "$@"; do
            if [ "$flag" != --profiles ]; then
              flags+=("$flag")
              continue
            fi
            variants=(--config ${files}/process-compose.profiles.yaml)
            export OTELIX_PROFILES=true PATH=$PATH:${lib.makeBinPath [ pyroscope ]}
          done
          set -- "''${flags[@]}"
        ''}
        case ''${1:-} in
          -h | --help)
            cat <<'HELP'
        ${description}.

        ${name} [FLAG...]                starts it in a terminal interface; flags are those of `process-compose up`
        ${name} --detached               starts it in the background
        ${lib.optionalString with-profiles "${name} --profiles               adds Pyroscope, which stores profiles"}
        ${name} attach|down|process|...  runs this command of process-compose on the stack that runs

        Every port is on 127.0.0.1, and those for OTLP on [::1] too. Variables:
          OTELIX_DATA              folder of data, logs and secrets; by default ./volumes
          OTELIX_OVERLAY           folder of files that are added: otel-collector/*.yaml, prometheus/scrape/*.yaml,
                                   prometheus/rules/*.yaml, dashboards/*.json
          PROMETHEUS_ARGS, ALERTMANAGER_ARGS, LOKI_ARGS, TEMPO_ARGS, PYROSCOPE_ARGS, GF_*
                                   further flags of these programs, and settings of Grafana
          OTELIX_EXTERNAL_ADDRESS  IP address of this machine, at which containers and other machines may send too
          OTLP_TOKEN               secret that they have to show; OTLP_TOKEN_FILE is a file of it
          OTELIX_CONFIGS           folder of configurations, such as a changed copy of ${files}/configs
          OTELIX_DASHBOARDS        folder of Grafana's dashboards, in place of ours
          OTELIX_RUNBOOKS          folder of the runbooks, which Prometheus serves
          SUPERVISOR_PORT          port of process-compose; `preflight --help` lists the variables of all other ports
        HELP
            exit
            ;;
          "" | -*) ;;
          *) exec process-compose "$@" ;;
        esac

        # process-compose runs preflight too, but its messages would only be in a log.
        ${preflight}
        if ! [ -t 0 ] || ! [ -t 1 ]; then
          export PC_DISABLE_TUI=1
        fi
        exec process-compose up --disable-dotenv ${toString composed} "''${variants[@]}" "$@"
      '';
    };

  with-kafka = {
    with-programs = lgtm ++ services ++ [ apacheKafka ];
    with-profiles = true;
    variants = [ "process-compose.kafka.yaml" ];
    arguments = [
      "--broker"
      "kafka"
    ];
  };
  with-redpanda = {
    with-profiles = true;
    with-programs =
      lgtm
      ++ services
      ++ [
        redpanda
        redpanda-console
      ];
  };
  with-broker = if has-redpanda then with-redpanda else with-kafka;
  has-redpanda = lib.meta.availableOn stdenv.hostPlatform redpanda;
in
{
  stack = stack (
    with-broker
    // {
      name = "stack";
      description = "The three services, their broker and the whole observability stack, supervised";
    }
  );

  stack-kafka = stack (
    with-kafka
    // {
      name = "stack-kafka";
      description = "The whole stack, with Apache Kafka instead of Redpanda";
    }
  );

  stack-lens = stack {
    name = "stack-lens";
    description = "The three services and their broker, with lens in place of the collector and the backends";
    with-programs = services ++ [
      programs.lens
      (if has-redpanda then redpanda else apacheKafka)
    ];
    variants = with-broker.variants or [ ] ++ [ "process-compose.lens.yaml" ];
    arguments = with-broker.arguments or [ ] ++ [
      "--only"
      "lens,broker,user,auth,frontend,loadgen,vitals"
    ];
  };

  lgtm = stack {
    name = "lgtm";
    description = "OpenTelemetry Collector, Prometheus, Alertmanager, Loki, Tempo and Grafana, for any service that sends OTLP";
    with-programs = lgtm;
    with-profiles = true;
    variants = [ "process-compose.lgtm.yaml" ];
    dashboards = "dashboards/generic";
    arguments = [
      "--only"
      "otel-collector,admission,prometheus,alertmanager,loki,tempo,grafana"
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
        echo "The stack runs. Stop it first: nix run .#stack -- down" >&2
        exit 1
      fi
      # preflight marks the folders that it makes.
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
