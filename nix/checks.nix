# The checks of `nix flake check`.
{
  lib,
  stdenv,
  runCommand,
  testers,
  backends,
  deadnix,
  images,
  jq,
  nixfmt,
  prometheus,
  self,
  shellcheck,
  statix,
  workspace,
}:
let
  inherit (lib) fileset;

  # Runs commands in a folder with only these files of the project.
  check =
    name: programs: files: commands:
    runCommand "check-${name}"
      {
        nativeBuildInputs = programs;
        src = fileset.toSource {
          root = ../.;
          fileset = fileset.unions files;
        };
      }
      ''
        cd $src
        ${commands}
        touch $out
      '';

  nix = [
    ../flake.nix
    (fileset.fileFilter (file: file.hasExt "nix") ../nix)
  ];
in
workspace.checks
// {
  nixfmt = check "nixfmt" [ nixfmt ] nix "nixfmt --check flake.nix nix/*.nix";
  statix = check "statix" [ statix ] nix "statix check .";
  deadnix = check "deadnix" [ deadnix ] nix "deadnix --fail .";

  shellcheck = check "shellcheck" [ shellcheck ] [ ../.ci ] ''
    shellcheck .ci/run .ci/configs .ci/backends/build .ci/backends/kafka.sh .ci/dashboards/check .ci/sdks/build
  '';

  # A test of the workspace checks that each query gives data.
  dashboards = check "dashboards" [ jq ] [ ../dashboards ] ''
    for file in dashboards/*.json dashboards/*/*.json; do
      jq -e --arg uid "$(basename "$file" .json)" '
        .uid == $uid
        and (.panels | length == (map(.id) | unique | length))
        and (.panels | all(.type == "row" or ([.title, .description] | all(type == "string" and . != ""))))
      ' "$file" >/dev/null || { echo "$file"; exit 1; }
    done
  '';

  configs = check "configs" (backends ++ [ prometheus.cli ]) [
    ../.ci/configs
    ../configs
  ] "OTELIX_DATA=$TMPDIR bash .ci/configs --all";
}
// lib.optionalAttrs stdenv.hostPlatform.isLinux {
  # An image has the expected configuration, does not run as root, and holds no shell or compiler.
  images =
    runCommand "check-images"
      {
        nativeBuildInputs = [ jq ];
      }
      (
        lib.concatStrings (
          lib.mapAttrsToList (name: image: ''
            mkdir ${name}
            tar -xf ${image} -C ${name}
            config=${name}/$(jq -r '.[0].Config' ${name}/manifest.json)
            jq -e '
              (.config.User | test("^[1-9][0-9]*:[1-9][0-9]*$"))
              and (.config.Entrypoint | length == 1)
              and (.config.ExposedPorts | length > 0)
              and (.config.Env | index("SSL_CERT_FILE=/etc/ssl/certs/ca-bundle.crt"))
              and (.config.Labels["org.opencontainers.image.version"] == "${workspace.version}")
              and (.created | startswith("1970-01-01"))
            ' "$config" >/dev/null || { echo "${name} has a wrong configuration:"; jq . "$config"; exit 1; }
            jq -r '.[0].Layers[]' ${name}/manifest.json | while read -r layer; do
              tar -tf ${name}/"$layer"
            done >${name}/files
            for program in bash sh gcc cargo rustc go; do
              if grep -E "/bin/$program\$" ${name}/files; then
                echo "${name} contains $program"
                exit 1
              fi
            done
            size=$(stat -c %s ${image})
            [ "$size" -lt ${toString (40 * 1000 * 1000)} ] || { echo "${name} has $size bytes"; exit 1; }
            echo "${name}: $size bytes" >>$out
          '') images
        )
      );

  vm = testers.runNixOSTest (import ./vm-test.nix { inherit self; });
}
