# Redpanda Console, from its release archive.
{
  lib,
  stdenvNoCC,
  fetchzip,
}:
stdenvNoCC.mkDerivation (self: {
  pname = "redpanda-console";
  version = "2.4.3";

  src = fetchzip {
    url = "https://github.com/redpanda-data/console/releases/download/v${self.version}/redpanda_console_${self.version}_linux_amd64.tar.gz";
    hash = "sha256-Wjk228YR7OSwoCGyXKcgQURCilhuoX1onwiDMzLIuaU=";
    stripRoot = false;
  };

  dontConfigure = true;
  dontBuild = true;

  installPhase = ''
    runHook preInstall
    install -D redpanda-console $out/bin/redpanda-console
    runHook postInstall
  '';

  meta = {
    description = "Topics, messages and consumers of a Kafka broker in the browser";
    homepage = "https://github.com/redpanda-data/console";
    license = lib.licenses.bsl11;
    platforms = [ "x86_64-linux" ];
    sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
    mainProgram = "redpanda-console";
  };
})
