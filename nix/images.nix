# OCI images of the services: the program, what it is linked to, certificates, and nothing else. They are the
# same, byte for byte, whenever and wherever they are built. `NAME-image.stream` writes one to its output instead.
{
  lib,
  dockerTools,
  revision,
  workspace,
}:
let
  id = "65532";
  data = "/var/lib/otelix";

  image =
    name:
    {
      ports,
      env ? { },
      # Whether it has data of its own, which a volume should keep.
      keeps ? false,
    }:
    let
      program = workspace.programs.${name};
      arguments = {
        name = if name == "otelix" then name else "otelix-${name}";
        tag = workspace.version;
        contents = [
          dockerTools.caCertificates
          (dockerTools.fakeNss.override {
            extraPasswdLines = [ "otelix:x:${id}:${id}:otelix:${data}:/noshell" ];
            extraGroupLines = [ "otelix:x:${id}:" ];
          })
        ];
        # A volume takes the owner of the folder that it covers.
        fakeRootCommands = ''
          install -d -m 1777 tmp
          install -d -m 0700 -o ${id} -g ${id} .${data}
        '';
        config = {
          Entrypoint = [ (lib.getExe program) ];
          User = "${id}:${id}";
          WorkingDir = data;
          ExposedPorts = lib.genAttrs (map (port: "${toString port}/tcp") ports) (_: { });
          Env = lib.mapAttrsToList (variable: value: "${variable}=${value}") (
            {
              LISTEN_ADDRESS = "0.0.0.0";
              OTELIX_DATA = data;
              SSL_CERT_FILE = "/etc/ssl/certs/ca-bundle.crt";
            }
            // env
          );
          Healthcheck = {
            Test = [
              "CMD"
              (lib.getExe program)
              "health"
            ];
            # In nanoseconds.
            Interval = 5 * 1000 * 1000 * 1000;
            Timeout = 2 * 1000 * 1000 * 1000;
          };
          Labels = {
            "org.opencontainers.image.title" = name;
            "org.opencontainers.image.description" = program.meta.description;
            "org.opencontainers.image.version" = workspace.version;
            "org.opencontainers.image.revision" = revision;
            "org.opencontainers.image.licenses" = "MIT";
          };
        }
        // lib.optionalAttrs keeps { Volumes.${data} = { }; };
      };
    in
    dockerTools.buildLayeredImage arguments
    // {
      stream = dockerTools.streamLayeredImage arguments;
    };
in
lib.mapAttrs' (name: settings: lib.nameValuePair "${name}-image" (image name settings)) {
  user = {
    ports = [ 8080 ];
    keeps = true;
  };
  auth = {
    ports = [ 8081 ];
    keeps = true;
  };
  frontend.ports = [ 8082 ];
  loadgen = {
    ports = [ 8084 ];
    env.LOADGEN_LISTEN = "0.0.0.0:8084";
  };
  otelix = {
    ports = [ 8082 ];
    keeps = true;
  };
}
