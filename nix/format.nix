# `nix fmt`: formats the whole project.
{
  writeShellApplication,
  cargo,
  nixfmt,
  rustfmt,
}:
writeShellApplication {
  name = "format";
  meta.description = "Formats the Rust and the Nix code";
  runtimeInputs = [
    cargo
    nixfmt
    rustfmt
  ];
  text = ''
    cargo fmt
    nixfmt flake.nix nix/*.nix
  '';
}
