# The outputs of the flake for one system.
{
  self,
  crane,
  pkgs,
}:
let
  inherit (pkgs) lib;

  scope = lib.makeScope pkgs.newScope (
    ours:
    let
      one = file: ours.callPackage file { };
      # A file with several packages cannot be overridden as a whole.
      several =
        file:
        removeAttrs (one file) [
          "override"
          "overrideDerivation"
        ];
    in
    {
      inherit self;
      craneLib = crane.mkLib pkgs;
      # The revision of a tree with uncommitted changes ends with "-dirty".
      revision = self.rev or self.dirtyRev or "unknown";
      # The overlay may be applied to a nixpkgs without this package. The stack then reports what is missing.
      alertmanager =
        pkgs.prometheus-alertmanager
          or (pkgs.writeShellScriptBin "alertmanager" "echo 'nixpkgs has no prometheus-alertmanager' >&2; exit 127");
      pyroscope =
        pkgs.pyroscope
          or (pkgs.writeShellScriptBin "pyroscope" "echo 'nixpkgs has no pyroscope' >&2; exit 127");
      # The programs that receive and store telemetry.
      backends = [
        ours.alertmanager
        pkgs.grafana-loki
        pkgs.opentelemetry-collector-contrib
        pkgs.prometheus
        pkgs.tempo
      ];
      workspace = several ./workspace.nix;
      redpanda = one ./redpanda.nix;
      redpanda-console = one ./redpanda-console.nix;
      stacks = several ./stack.nix;
      images = several ./images.nix;
      checks = several ./checks.nix;
      shell = one ./shell.nix;
      format = one ./format.nix;
    }
  );
  inherit (scope) workspace stacks;
  has-redpanda = lib.meta.availableOn pkgs.stdenv.hostPlatform scope.redpanda;

  app = package: {
    type = "app";
    program = lib.getExe package;
    meta = { inherit (package.meta) description; };
  };
in
{
  packages =
    workspace.programs
    // {
      inherit (stacks)
        stack
        stack-kafka
        stack-lens
        lgtm
        reset
        ;
      default = workspace.programs.otelix;
    }
    // lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux scope.images
    // lib.optionalAttrs has-redpanda { inherit (scope) redpanda redpanda-console; };

  apps = {
    default = app stacks.stack;
    stack = app stacks.stack;
    stack-kafka = app stacks.stack-kafka;
    stack-lens = app stacks.stack-lens;
    lgtm = app stacks.lgtm;
    reset = app stacks.reset;
    load = app workspace.programs.loadgen;
  };

  inherit (scope) checks;
  devShells = {
    default = scope.shell;
    kafka = scope.shell.override { with-redpanda = false; };
  };
  formatter = scope.format;
}
