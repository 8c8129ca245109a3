# The services and the collector as systemd units; the backends too, if this machine shall have them.
{ self }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    mkEnableOption
    mkIf
    mkMerge
    mkOption
    optional
    types
    ;
  cfg = config.services.otelix;
  programs = self.packages.${pkgs.stdenv.hostPlatform.system};

  # What every service may not do. They need a network, their own data, and nothing else.
  hardening = {
    CapabilityBoundingSet = "";
    DynamicUser = true;
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    NoNewPrivileges = true;
    PrivateDevices = true;
    PrivateTmp = true;
    PrivateUsers = true;
    ProcSubset = "all"; # for the process metrics
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectProc = "invisible";
    ProtectSystem = "strict";
    RemoveIPC = true;
    RestrictAddressFamilies = [
      "AF_INET"
      "AF_INET6"
      "AF_UNIX"
    ];
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    SystemCallErrorNumber = "EPERM";
    SystemCallFilter = [
      "@system-service"
      "~@privileged @resources"
    ];
    UMask = "0077";
  };

  unit =
    name:
    {
      environment,
      after ? [ ],
      keeps ? false,
      serviceConfig ? { },
    }:
    {
      description = programs.${name}.meta.description;
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [
        "network-online.target"
      ]
      ++ optional cfg.collector.enable "opentelemetry-collector.service"
      ++ map (other: "otelix-${other}.service") after;
      environment = {
        OTEL_EXPORTER_OTLP_ENDPOINT = cfg.otlpEndpoint;
      }
      // environment
      // cfg.${name}.settings;
      serviceConfig =
        hardening
        // {
          # It is ready when its own health check says so, and is started again when that stays silent.
          Type = "notify";
          NotifyAccess = "main";
          WatchdogSec = 10;
          ExecStart = lib.getExe programs.${name};
          Restart = "always";
          RestartSec = 1;
          # More than a drain takes (STOP in services/chassis/src/stop.rs).
          TimeoutStopSec = 15;
        }
        // lib.optionalAttrs keeps {
          StateDirectory = "otelix-${name}";
          StateDirectoryMode = "0700";
        }
        // serviceConfig;
      # A service that fails at once fails again in a second, and not five times for ever.
      startLimitIntervalSec = 0;
    };

  options =
    name: port:
    {
      enable = mkEnableOption "the ${name} service" // {
        default = true;
      };
      listenAddress = mkOption {
        type = types.str;
        default = "127.0.0.1";
        description = "IP address to listen on.";
      };
      port = mkOption {
        type = types.port;
        default = port;
        description = "TCP port to listen on.";
      };
    }
    // settings name;

  settings = name: {
    settings = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = {
        RUST_LOG = "debug";
      };
      description = "Further settings as environment variables: those of `${name} --help`. No secrets: they would be readable by everyone.";
    };
  };

  addressOf =
    service:
    mkOption {
      type = types.str;
      default = "127.0.0.1:${toString cfg.${service}.port}";
      defaultText = lib.literalMD "the ${service} service of this machine";
      description = "Where the ${service} service is, as HOST:PORT.";
    };

  # What Grafana encrypts its own secrets with.
  grafanaSecret = "${config.services.grafana.dataDir}/secret-key";

  events = lib.optionalAttrs (cfg.kafkaBrokers != null) { KAFKA_BROKERS = cfg.kafkaBrokers; };
in
{
  options.services.otelix = {
    enable = mkEnableOption "the otelix services, each as a hardened systemd unit";

    otlpEndpoint = mkOption {
      type = types.str;
      default = "http://127.0.0.1:4317";
      description = "Where traces, metrics and logs are sent, by OTLP over gRPC.";
    };

    kafkaBrokers = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "kafka-1:9092,kafka-2:9092";
      description = "Where events are sent. Without it there are none.";
    };

    grafanaUrl = mkOption {
      type = types.nullOr types.str;
      default = if cfg.backends.enable then "http://127.0.0.1:3000" else null;
      defaultText = lib.literalMD "Grafana of this machine, if it has the backends";
      description = "Where the pages' links to traces lead.";
    };

    alertmanagerUrl = mkOption {
      type = types.nullOr types.str;
      default = if cfg.backends.enable then "http://127.0.0.1:9093" else null;
      defaultText = lib.literalMD "Alertmanager of this machine, if it has the backends";
      description = "Whom the status page asks which alerts fire.";
    };

    user = options "user" 8080;

    auth = options "auth" 8081 // {
      userServiceAddress = addressOf "user";
      jwtSecretFile = mkOption {
        type = types.path;
        example = "/run/secrets/otelix-jwt";
        description = "File of what sessions are signed with, at least 32 bytes. Only root has to be able to read it.";
      };
      jwtPreviousSecretFile = mkOption {
        type = types.nullOr types.path;
        default = null;
        description = "File of what sessions were signed with before; those stay valid.";
      };
    };

    frontend = options "frontend" 8082 // {
      authServiceAddress = addressOf "auth";
      userServiceAddress = addressOf "user";
      publicUrl = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "https://example.org";
        description = "The URL under which people reach the pages.";
      };
    };

    collector.enable = mkEnableOption "an OpenTelemetry Collector on this machine" // {
      default = true;
    };

    backends.enable = mkEnableOption "Prometheus, Alertmanager, Loki, Tempo and Grafana on this machine, on loopback and connected";
  };

  config = mkIf cfg.enable (mkMerge [
    {
      systemd.services = {
        otelix-user = mkIf cfg.user.enable (
          unit "user" {
            keeps = true;
            environment = events // {
              LISTEN_ADDRESS = cfg.user.listenAddress;
              PORT = toString cfg.user.port;
              OTELIX_DATA = "/var/lib/otelix-user";
            };
          }
        );

        otelix-auth = mkIf cfg.auth.enable (
          unit "auth" {
            keeps = true;
            after = optional cfg.user.enable "user";
            environment =
              events
              // {
                LISTEN_ADDRESS = cfg.auth.listenAddress;
                PORT = toString cfg.auth.port;
                OTELIX_DATA = "/var/lib/otelix-auth";
                USER_SERVICE_ADDRESS = cfg.auth.userServiceAddress;
                JWT_SECRET_FILE = "%d/jwt";
              }
              // lib.optionalAttrs (cfg.auth.jwtPreviousSecretFile != null) {
                JWT_PREVIOUS_SECRET_FILE = "%d/jwt-previous";
              };
            serviceConfig.LoadCredential = [
              "jwt:${cfg.auth.jwtSecretFile}"
            ]
            ++ optional (
              cfg.auth.jwtPreviousSecretFile != null
            ) "jwt-previous:${cfg.auth.jwtPreviousSecretFile}";
          }
        );

        otelix-frontend = mkIf cfg.frontend.enable (
          unit "frontend" {
            after = optional cfg.auth.enable "auth";
            environment =
              events
              // {
                LISTEN_ADDRESS = cfg.frontend.listenAddress;
                PORT = toString cfg.frontend.port;
                AUTH_SERVICE_ADDRESS = cfg.frontend.authServiceAddress;
                USER_SERVICE_ADDRESS = cfg.frontend.userServiceAddress;
              }
              // lib.optionalAttrs (cfg.frontend.publicUrl != null) { PUBLIC_URL = cfg.frontend.publicUrl; }
              // lib.optionalAttrs (cfg.grafanaUrl != null) { GRAFANA_URL = cfg.grafanaUrl; }
              // lib.optionalAttrs (cfg.alertmanagerUrl != null) { ALERTMANAGER_URL = cfg.alertmanagerUrl; };
          }
        );
      };
    }

    (mkIf cfg.collector.enable {
      services.opentelemetry-collector = {
        enable = true;
        package = pkgs.opentelemetry-collector-contrib;
        configFile = ../configs/otel-collector/config.yaml;
      };
      systemd.services.opentelemetry-collector.environment.OTELIX_DATA =
        "/var/lib/opentelemetry-collector";
    })

    (mkIf cfg.backends.enable {
      services.prometheus = {
        enable = true;
        listenAddress = "127.0.0.1";
        # systemd supervises here, of which vitals knows nothing.
        configText =
          builtins.replaceStrings
            [ "  - rules/stack.yaml\n" "rules/" ]
            [ "" "${../configs/prometheus/rules}/" ]
            (builtins.readFile ../configs/prometheus/prometheus.yaml);
        extraFlags = [
          "--web.enable-otlp-receiver"
          "--web.enable-remote-write-receiver"
          "--enable-feature=exemplar-storage"
        ];
      };

      services.prometheus.alertmanager = {
        enable = true;
        listenAddress = "127.0.0.1";
        webExternalUrl = "http://127.0.0.1:9093";
        configText = builtins.readFile ../configs/alertmanager/alertmanager.yaml;
        extraFlags = [ "--cluster.listen-address=" ];
      };

      services.loki = {
        enable = true;
        configFile = ../configs/loki/loki.yaml;
        extraFlags = [ "-config.expand-env=true" ];
      };
      # Its configuration adds the name of the program.
      systemd.services.loki.environment.OTELIX_DATA = "/var/lib";

      services.tempo = {
        enable = true;
        configFile = ../configs/tempo/tempo.yaml;
        extraFlags = [ "-config.expand-env=true" ];
      };
      systemd.services.tempo.environment.OTELIX_DATA = "/var/lib";

      services.grafana = {
        enable = true;
        settings = {
          server.http_addr = "127.0.0.1";
          security.secret_key = "$__file{${grafanaSecret}}";
          "auth.anonymous" = {
            enabled = true;
            org_role = "Viewer";
          };
          users = {
            # Traces and logs are in Explore, where every link leads; nothing can be saved even so.
            viewers_can_edit = true;
            home_page = "/d/overview";
          };
          analytics = {
            reporting_enabled = false;
            check_for_updates = false;
            check_for_plugin_updates = false;
          };
          plugins.preinstall_disabled = true;
          news.news_feed_enabled = false;
        };
        provision = {
          enable = true;
          datasources.path = ../configs/grafana/provisioning/datasources;
          dashboards.settings = {
            apiVersion = 1;
            providers = [
              {
                name = "otelix";
                options.path = ../dashboards;
              }
            ];
          };
        };
      };
      systemd.services.grafana.preStart = lib.mkBefore ''
        if ! [ -s ${grafanaSecret} ]; then
          (umask 0077 && od -An -tx1 -N32 /dev/urandom | tr -d ' \n' >${grafanaSecret})
        fi
      '';
    })
  ]);
}
