# Tests a virtual machine with the services and the backends: a registration, its telemetry, and the restart of a
# hanging service.
{ self }:
{
  name = "otelix";

  nodes.machine = {
    imports = [ self.nixosModules.default ];

    virtualisation.memorySize = 3072;
    services.otelix = {
      enable = true;
      backends.enable = true;
      auth.jwtSecretFile = "/etc/otelix-jwt";
      externalAddress = "127.0.0.2";
      otlpTokenFile = "/etc/otelix-otlp";
      collector.settings.receivers.otlp.protocols.http.cors.allowed_origins = [
        "https://shop.example.com"
      ];
      backends = {
        scrapeConfigs = [
          {
            job_name = "own";
            static_configs = [ { targets = [ "127.0.0.1:9090" ]; } ];
          }
        ];
        rules = [
          (builtins.toFile "own.yaml" "groups: [{name: own, rules: [{record: own:up, expr: 'up{job=\"own\"}'}]}]")
        ];
        retention.metrics = "3d";
      };
    };
    # Only root can read the secret, as usual. A real secret must not be in the store.
    environment.etc."otelix-jwt" = {
      text = "a secret that only this test knows, no service";
      mode = "0400";
    };
    environment.etc."otelix-otlp" = {
      text = "0123456789abcdef-otlp";
      mode = "0400";
    };
  };

  testScript = ''
    import json

    machine.wait_for_unit("otelix-frontend.service")
    machine.wait_for_open_port(3200)
    machine.wait_until_succeeds("curl -sf 127.0.0.1:3200/ready")

    with subtest("services are ready when systemd says so"):
        machine.succeed("curl -sf 127.0.0.1:8082/health/ready")

    with subtest("the runbooks of alerts are pages"):
        machine.wait_until_succeeds(
            "curl -sf 127.0.0.1:9090/user/runbooks/target-down.html | grep -q '<h1>'"
        )

    with subtest("OTLP arrives at ::1, and at the external address with the secret"):
        send = "curl -sf -H 'content-type: application/json' -d '{}' "
        machine.wait_until_succeeds(send + "'[::1]:4318/v1/traces'", timeout=60)
        machine.fail(send + "127.0.0.2:4318/v1/traces")
        machine.succeed(send + "-H 'authorization: Bearer 0123456789abcdef-otlp' 127.0.0.2:4318/v1/traces")

    with subtest("pages of the added origin may send"):
        machine.succeed(
            "curl -sfi -X OPTIONS -H 'origin: https://shop.example.com' -H 'access-control-request-method: POST'"
            " 127.0.0.1:4318/v1/traces | grep -qi access-control-allow-origin"
        )

    with subtest("the added scrape job and rule are there, and the retention is another"):
        machine.wait_until_succeeds(
            "curl -sfG 127.0.0.1:9090/api/v1/query --data-urlencode 'query=own:up == 1' | grep -q value", timeout=60
        )
        machine.succeed("curl -sf 127.0.0.1:9090/api/v1/status/flags | grep -q 3d")

    with subtest("a registration is a trace of three services"):
        machine.succeed(
            "curl -sf -o /dev/null -c /tmp/cookies -d email=ann@example.com"
            " --data-urlencode 'password=correct horse battery' 127.0.0.1:8082/register"
        )
        query = "curl -sfG 127.0.0.1:3200/api/search --data-urlencode 'q={ name = \"user.v1.UserService/CreateUser\" }'"
        machine.wait_until_succeeds(query + " | grep -q traceID", timeout=60)
        trace = json.loads(machine.succeed(query))["traces"][0]["traceID"]
        spans = machine.succeed(f"curl -sf 127.0.0.1:3200/api/traces/{trace}")
        for service in ["frontend", "auth", "user"]:
            assert f'"stringValue":"{service}"' in spans.replace(" ", ""), f"{service} is not in {trace}"

    with subtest("its logs and metrics arrive"):
        machine.wait_until_succeeds(
            "curl -sfG 127.0.0.1:3100/loki/api/v1/query_range"
            " --data-urlencode 'query={service_name=\"user\"}' | grep -q trace_id",
            timeout=60,
        )
        machine.wait_until_succeeds(
            "curl -sfG 127.0.0.1:9090/api/v1/query --data-urlencode 'query=user_registrations_total' | grep -q user",
            timeout=60,
        )

    with subtest("Grafana shows the stores and the dashboards to visitors, and has no known password"):
        machine.wait_for_unit("grafana.service")
        machine.wait_until_succeeds("curl -sf 127.0.0.1:3000/api/health", timeout=120)
        machine.succeed("curl -sf 127.0.0.1:3000/api/dashboards/uid/overview")
        machine.fail("curl -sf -u admin:admin 127.0.0.1:3000/api/datasources")
        machine.succeed(
            "curl -sf -u admin:$(cat /var/lib/grafana/admin-password) 127.0.0.1:3000/api/datasources/uid/tempo"
        )
        machine.fail("su nobody -s /bin/sh -c 'cat /var/lib/grafana/admin-password'")

    with subtest("Alertmanager is ready, and Prometheus sends to it"):
        machine.wait_until_succeeds("curl -sf 127.0.0.1:9093/-/ready", timeout=60)
        machine.wait_until_succeeds(
            "curl -sf 127.0.0.1:9090/api/v1/alertmanagers | grep -q 127.0.0.1:9093", timeout=60
        )

    with subtest("a service that hangs is restarted"):
        before = machine.succeed("systemctl show -p MainPID --value otelix-user").strip()
        machine.succeed(f"kill -STOP {before}")
        machine.wait_until_succeeds(
            f"test $(systemctl show -p MainPID --value otelix-user) != {before}", timeout=60
        )
        machine.wait_for_unit("otelix-user.service")

    with subtest("the account is still there"):
        machine.wait_until_succeeds(
            "curl -sf -o /dev/null -w '%{http_code}' -d email=ann@example.com"
            " --data-urlencode 'password=correct horse battery' 127.0.0.1:8082/login | grep -q 303",
            timeout=30,
        )

    with subtest("other users cannot read the data of the services"):
        machine.fail("su nobody -s /bin/sh -c 'ls /var/lib/private/otelix-user'")
  '';
}
