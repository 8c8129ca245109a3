{
  description = "Three Rust services with traces, metrics and logs, and the stack that shows them";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    crane.url = "github:ipetkov/crane";
  };

  outputs =
    {
      self,
      nixpkgs,
      crane,
    }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "aarch64-darwin"
      ];

      scopes = nixpkgs.lib.genAttrs systems (
        system:
        import ./nix {
          inherit self crane;
          pkgs = import nixpkgs {
            inherit system;
            config.allowUnfreePredicate = import ./nix/unfree.nix nixpkgs.lib;
          };
        }
      );

      output = name: builtins.mapAttrs (_: scope: scope.${name}) scopes;
    in
    {
      packages = output "packages";
      apps = output "apps";
      checks = output "checks";
      devShells = output "devShells";
      formatter = output "formatter";

      overlays.default = import ./nix/overlay.nix { inherit self crane; };
      nixosModules.default = import ./nix/module.nix { inherit self; };
    };
}
