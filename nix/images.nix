# OCI images of the services: the program, the libraries that it links to, and certificates. Builds are reproducible,
# byte for byte. `NAME-image.stream` is a script that writes the image to its output.
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
      # Whether it stores data, which belongs on a volume.
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
        # A new volume takes the owner of the folder at which it is mounted.
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
              # The allocator returns free memory to the system at once.
              MIMALLOC_PURGE_DELAY = "0";
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
  # Its pages are reachable from other machines, so lens writes a secret for them to its log, unless LENS_TOKEN is set.
  lens.ports = [
    8086
    4317
    4318
  ];
  otelix = {
    ports = [
      8082
      8086
      4317
      4318
    ];
    keeps = true;
  };
}
