# Everything that the flake builds, as `pkgs.otelix.NAME`, with the packages of the nixpkgs that applies the overlay.
{ self, crane }:
final: _previous: {
  otelix =
    (import ./. {
      inherit self crane;
      pkgs = final;
    }).packages;
}
