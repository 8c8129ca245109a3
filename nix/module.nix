# The NixOS module: the services and the collector as systemd units, and optionally the backends.
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

  # Every service is confined to the network and its own data.
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
      # Files that systemd reads as root and hands over, by the variable that tells the service where they are.
      credentials ? { },
    }:
    {
      description = programs.${name}.meta.description;
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [
        "network-online.target"
      ]
      ++ optional cfg.collector.enable "opentelemetry-collector.service"
      ++ optional (cfg.lens.enable && name != "lens") "otelix-lens.service"
      ++ map (other: "otelix-${other}.service") after;
      environment =
        escaped (
          {
            # The allocator returns free memory to the system at once.
            MIMALLOC_PURGE_DELAY = "0";
            OTEL_EXPORTER_OTLP_ENDPOINT = cfg.otlpEndpoint;
          }
          // environment
          // cfg.${name}.settings
        )
        // lib.mapAttrs (variable: _: "%d/${variable}") credentials;
      serviceConfig =
        hardening
        // {
          # The service notifies systemd once its health check succeeds, and then keeps the watchdog quiet while it
          # does.
          Type = "notify";
          NotifyAccess = "main";
          WatchdogSec = 10;
          ExecStart = lib.getExe programs.${name};
          Restart = "always";
          RestartSec = 1;
          # Longer than a drain (STOP in crates/chassis/src/stop.rs).
          TimeoutStopSec = 15;
          # The filter of system calls keeps a process from raising its own limit.
          LimitNOFILE = 65536;
        }
        // lib.optionalAttrs keeps {
          StateDirectory = "otelix-${name}";
          StateDirectoryMode = "0700";
        }
        // lib.optionalAttrs (credentials != { }) {
          LoadCredential = lib.mapAttrsToList (variable: file: "${variable}:${file}") credentials;
        };
      # Without this, systemd gives up after five failures in ten seconds.
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
      description = "Further settings as environment variables, as `${name} --help` lists them. Every user of the machine can read them, so they must not hold secrets.";
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

  # Generated at the first start: the key that encrypts what Grafana stores, and the password of its user `admin`.
  grafanaSecrets = {
    key = "${config.services.grafana.dataDir}/secret-key";
    password = "${config.services.grafana.dataDir}/admin-password";
  };

  yaml = pkgs.formats.yaml { };

  hasToken = cfg.externalAddress != null && cfg.otlpTokenFile != null;

  # Removes the marks of the lines that apply, as preflight does (services/preflight/src/addresses.rs).
  collectorConfig =
    let
      ipv6 = lib.optionalAttrs config.networking.enableIPv6 { "#ipv6 " = ""; };
      external = lib.optionalAttrs (cfg.externalAddress != null) {
        "#external " = "";
        "\${OTELIX_EXTERNAL_ADDRESS}" =
          if lib.hasInfix ":" cfg.externalAddress then "[${cfg.externalAddress}]" else cfg.externalAddress;
      };
      token = lib.optionalAttrs hasToken { "#token " = ""; };
      replaced = ipv6 // external // token;
    in
    pkgs.writeText "otel-collector.yaml" (
      builtins.replaceStrings (lib.attrNames replaced) (lib.attrValues replaced) (
        builtins.readFile (cfg.configs + "/otel-collector/config.yaml")
      )
    );

  # What Prometheus serves at /user: the runbooks as pages.
  userAssets = pkgs.runCommand "otelix-runbooks" { } ''
    OTELIX_RUNBOOKS=${cfg.runbooks} ${lib.getExe programs.preflight} runbooks $out
  '';

  # systemd expands specifiers such as `%h` in the values of `Environment=`.
  escaped = lib.mapAttrs (_: builtins.replaceStrings [ "%" ] [ "%%" ]);

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
      description = "Where events are sent. If null, none are.";
    };

    grafanaUrl = mkOption {
      type = types.nullOr types.str;
      default = if cfg.backends.enable then "http://127.0.0.1:3000" else null;
      defaultText = lib.literalMD "Grafana of this machine, if it has the backends";
      description = "Where links from the pages to traces lead.";
    };

    lensUrl = mkOption {
      type = types.nullOr types.str;
      default = if cfg.lens.enable then "http://127.0.0.1:${toString cfg.lens.port}" else null;
      defaultText = lib.literalMD "lens of this machine, if it is enabled";
      description = "Where links from the pages to traces lead. It precedes `grafanaUrl`.";
    };

    alertmanagerUrl = mkOption {
      type = types.nullOr types.str;
      default = if cfg.backends.enable then "http://127.0.0.1:9093" else null;
      defaultText = lib.literalMD "Alertmanager of this machine, if it has the backends";
      description = "Where the status page reads which alerts fire.";
    };

    user = options "user" 8080;

    auth = options "auth" 8081 // {
      userServiceAddress = addressOf "user";
      jwtSecretFile = mkOption {
        type = types.path;
        example = "/run/secrets/otelix-jwt";
        description = "File of the secret that signs sessions, at least 32 bytes. Only root needs to be able to read it.";
      };
      jwtPreviousSecretFile = mkOption {
        type = types.nullOr types.path;
        default = null;
        description = "File of the previous secret: sessions that it signed stay valid.";
      };
    };

    frontend = options "frontend" 8082 // {
      authServiceAddress = addressOf "auth";
      userServiceAddress = addressOf "user";
      publicUrl = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "https://example.org";
        description = "The URL at which users reach the pages.";
      };
    };

    lens = options "lens" 8086 // {
      enable = mkEnableOption "lens in place of the collector: it keeps the telemetry of the last minutes or hours in memory, and shows it in the browser";
      memory = mkOption {
        type = types.str;
        default = "256MiB";
        example = "1GiB";
        description = "Memory for telemetry.";
      };
      tokenFile = mkOption {
        type = types.nullOr types.path;
        default = null;
        example = "/run/secrets/otelix-lens";
        description = "File of the secret that browsers and programs must show. Only root needs to be able to read it. If lens listens on other addresses than loopback, and there is no such file, lens writes a random secret to its log.";
      };
    };

    # It runs beside the collector.
    admission = settings "admission";

    configs = mkOption {
      type = types.path;
      default = ../configs;
      defaultText = lib.literalMD "those of otelix";
      example = lib.literalExpression "./configs";
      description = "Folder of the configurations of the collector and the backends, laid out like `configs` of otelix.";
    };

    dashboards = mkOption {
      type = types.path;
      default = ../dashboards;
      defaultText = lib.literalMD "those of otelix";
      example = lib.literalExpression "./dashboards";
      description = "Folder of the dashboards that Grafana shows.";
    };

    runbooks = mkOption {
      type = types.path;
      default = ../docs/runbooks;
      defaultText = lib.literalMD "those of otelix";
      example = lib.literalExpression "./runbooks";
      description = "Folder of the runbooks of alerts, which Prometheus serves.";
    };

    collector = {
      enable = mkEnableOption "an OpenTelemetry Collector on this machine" // {
        default = !cfg.lens.enable;
        defaultText = lib.literalMD "unless lens is enabled, which takes its ports";
      };
      settings = mkOption {
        inherit (yaml) type;
        default = { };
        example = lib.literalExpression ''
          {
            exporters."otlp_http/vendor".endpoint = "https://otlp.example.com";
            service.pipelines."traces/vendor" = {
              receivers = [ "otlp" ];
              exporters = [ "otlp_http/vendor" ];
            };
          }
        '';
        description = "Further configuration of the collector. It is merged over that of otelix: maps are merged, and lists are replaced.";
      };
    };

    externalAddress = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "172.17.0.1";
      description = "IP address of this machine at which containers, virtual machines and other machines send OTLP to the collector, beside loopback. The firewall has to let them in: `networking.firewall.allowedTCPPorts = [ 4317 4318 ]`, or the same for one interface.";
    };

    otlpTokenFile = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = "/run/secrets/otelix-otlp";
      description = "File of the secret that senders show at `externalAddress`, as `authorization: Bearer SECRET`. Only root needs to be able to read it. Without it, every machine that reaches the address can send.";
    };

    backends = {
      enable = mkEnableOption "Prometheus, Alertmanager, Loki, Tempo and Grafana on this machine, on loopback and connected";
      scrapeConfigs = mkOption {
        type = types.listOf yaml.type;
        default = [ ];
        example = lib.literalExpression ''
          [
            {
              job_name = "shop";
              static_configs = [ { targets = [ "127.0.0.1:9464" ]; } ];
            }
          ]
        '';
        description = "Further scrape jobs of Prometheus.";
      };
      rules = mkOption {
        type = types.listOf types.path;
        default = [ ];
        example = lib.literalExpression "[ ./shop-rules.yaml ]";
        description = "Further files of alert and recording rules.";
      };
      dashboards = mkOption {
        type = types.nullOr types.path;
        default = null;
        example = lib.literalExpression "./my-dashboards";
        description = "Folder of further dashboards.";
      };
      retention = {
        metrics = mkOption {
          type = types.str;
          default = "15d";
          description = "How long Prometheus keeps metrics.";
        };
        logs = mkOption {
          type = types.str;
          default = "168h";
          description = "How long Loki keeps logs.";
        };
        traces = mkOption {
          type = types.str;
          default = "168h";
          description = "How long Tempo keeps traces.";
        };
      };
      extraFlags = lib.genAttrs [ "prometheus" "alertmanager" "loki" "tempo" ] (
        name:
        mkOption {
          type = types.listOf types.str;
          default = [ ];
          description = "Further flags of ${name}, which override its configuration.";
        }
      );
    };
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
            environment = events // {
              LISTEN_ADDRESS = cfg.auth.listenAddress;
              PORT = toString cfg.auth.port;
              OTELIX_DATA = "/var/lib/otelix-auth";
              USER_SERVICE_ADDRESS = cfg.auth.userServiceAddress;
            };
            credentials = {
              JWT_SECRET_FILE = cfg.auth.jwtSecretFile;
            }
            // lib.optionalAttrs (cfg.auth.jwtPreviousSecretFile != null) {
              JWT_PREVIOUS_SECRET_FILE = cfg.auth.jwtPreviousSecretFile;
            };
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
              // lib.optionalAttrs (cfg.lensUrl != null) { LENS_URL = cfg.lensUrl; }
              // lib.optionalAttrs (cfg.grafanaUrl != null) { GRAFANA_URL = cfg.grafanaUrl; }
              // lib.optionalAttrs (cfg.alertmanagerUrl != null) { ALERTMANAGER_URL = cfg.alertmanagerUrl; };
          }
        );
      };
    }

    (mkIf cfg.lens.enable {
      assertions = [
        {
          assertion = !cfg.collector.enable;
          message = "services.otelix: lens and the collector listen on the same ports, so only one of them can be enabled.";
        }
      ];
      systemd.services.otelix-lens = unit "lens" {
        environment = {
          LISTEN_ADDRESS = cfg.lens.listenAddress;
          PORT = toString cfg.lens.port;
          LENS_MEMORY = cfg.lens.memory;
        };
        credentials = lib.optionalAttrs (cfg.lens.tokenFile != null) {
          LENS_TOKEN_FILE = cfg.lens.tokenFile;
        };
      };
    })

    (mkIf cfg.collector.enable {
      systemd.services.otelix-admission = unit "admission" {
        environment = {
          LISTEN_ADDRESS = "127.0.0.1";
          PORT = "8087";
          PROMETHEUS_URL = "http://127.0.0.1:9090";
        };
      };
      services.opentelemetry-collector = {
        enable = true;
        package = pkgs.opentelemetry-collector-contrib;
        configFile = collectorConfig;
        # The secret is not there yet when the configuration is built.
        validateConfigFile = !hasToken;
      };
      systemd.services.opentelemetry-collector = {
        # The external address may be that of a bridge which a later service makes.
        startLimitIntervalSec = 0;
        environment = {
          OTELIX_DATA = "/var/lib/opentelemetry-collector";
        }
        // lib.optionalAttrs hasToken { OTLP_TOKEN_FILE = "%d/otlp-token"; };
        serviceConfig = {
          RestartSec = 1;
          # The module of nixpkgs knows one file.
          ExecStart = lib.mkForce (
            lib.concatStringsSep " " (
              [ (lib.getExe pkgs.opentelemetry-collector-contrib) ]
              ++ map (file: "--config=file:${file}") (
                [ collectorConfig ]
                ++ optional (cfg.collector.settings != { }) (
                  yaml.generate "otel-collector.yaml" cfg.collector.settings
                )
              )
            )
          );
        }
        // lib.optionalAttrs hasToken {
          LoadCredential = [ "otlp-token:${cfg.otlpTokenFile}" ];
        };
      };
    })

    (mkIf cfg.backends.enable {
      services = {
        prometheus = {
          enable = true;
          listenAddress = "127.0.0.1";
          # Alerts link to their runbooks by it.
          webExternalUrl = "http://127.0.0.1:9090";
          # rules/stack.yaml is about what vitals measures, which does not run here: systemd supervises.
          configText =
            builtins.replaceStrings
              [
                "  - rules/stack.yaml\n"
                "  - ../overlay/prometheus/rules/*.yaml\n"
                "  - ../overlay/prometheus/scrape/*.yaml\n"
                "rules/"
              ]
              [
                ""
                (lib.concatMapStrings (file: "  - ${file}\n") cfg.backends.rules)
                "  - ${yaml.generate "scrape.yaml" { scrape_configs = cfg.backends.scrapeConfigs; }}\n"
                "${cfg.configs + "/prometheus/rules"}/"
              ]
              (builtins.readFile (cfg.configs + "/prometheus/prometheus.yaml"));
          retentionTime = cfg.backends.retention.metrics;
          extraFlags = [
            "--web.enable-otlp-receiver"
            "--web.enable-remote-write-receiver"
            "--enable-feature=exemplar-storage"
            "--web.user-assets=${userAssets}"
          ]
          ++ cfg.backends.extraFlags.prometheus;

          alertmanager = {
            enable = true;
            listenAddress = "127.0.0.1";
            webExternalUrl = "http://127.0.0.1:9093";
            configText = builtins.readFile (cfg.configs + "/alertmanager/alertmanager.yaml");
            extraFlags = [ "--cluster.listen-address=" ] ++ cfg.backends.extraFlags.alertmanager;
          };
        };

        loki = {
          enable = true;
          configFile = cfg.configs + "/loki/loki.yaml";
          extraFlags = [
            "-config.expand-env=true"
            "-store.retention=${cfg.backends.retention.logs}"
          ]
          ++ cfg.backends.extraFlags.loki;
        };

        tempo = {
          enable = true;
          configFile = cfg.configs + "/tempo/tempo.yaml";
          extraFlags = [
            "-config.expand-env=true"
            "-backend-worker.compaction.block-retention=${cfg.backends.retention.traces}"
          ]
          ++ cfg.backends.extraFlags.tempo;
        };

        grafana = {
          enable = true;
          settings = {
            server.http_addr = "127.0.0.1";
            security = {
              secret_key = "$__file{${grafanaSecrets.key}}";
              admin_password = "$__file{${grafanaSecrets.password}}";
            };
            "auth.anonymous" = {
              enabled = true;
              org_role = "Viewer";
            };
            users = {
              # Lets anonymous viewers open Explore, where links to traces and logs lead. They still cannot save
              # anything.
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
            datasources.path = cfg.configs + "/grafana/provisioning/datasources";
            dashboards.settings = {
              apiVersion = 1;
              providers = [
                {
                  name = "otelix";
                  options.path = cfg.dashboards;
                }
              ]
              ++ optional (cfg.backends.dashboards != null) {
                name = "own";
                folder = "own";
                options.path = cfg.backends.dashboards;
              };
            };
          };
        };
      };

      systemd.services = {
        # The configurations append the name of the program to this folder.
        loki.environment.OTELIX_DATA = "/var/lib";
        tempo.environment.OTELIX_DATA = "/var/lib";

        grafana.preStart = lib.mkBefore ''
          for secret in ${grafanaSecrets.key} ${grafanaSecrets.password}; do
            if ! [ -s "$secret" ]; then
              (umask 0077 && od -An -tx1 -N32 /dev/urandom | tr -d ' \n' >"$secret")
            fi
          done
        '';
      };
    })
  ]);
}
