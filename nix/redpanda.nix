# Redpanda, from its release archive. It comes with its own loader and C library and is not patched: patchelf breaks
# a program of this size. Only x86_64-linux has a public build.
{
  lib,
  stdenvNoCC,
  fetchurl,
  runtimeShell,
}:
stdenvNoCC.mkDerivation (self: {
  pname = "redpanda";
  version = "26.2.2";

  src = fetchurl {
    url = "https://vectorized-public.s3.us-west-2.amazonaws.com/releases/redpanda/${self.version}/redpanda-${self.version}-amd64.tar.gz";
    hash = "sha256-V1/vu8LLkpY04rgxrLh+ywsjQDsu+LNWo028CgCTSqU=";
  };
  sourceRoot = ".";

  dontConfigure = true;
  dontBuild = true;
  dontFixup = true;

  # Leaves out the gigabytes that the broker itself does not need.
  installPhase = ''
    runHook preInstall
    mkdir -p $out/bin $out/libexec
    cp -r lib $out/lib
    cp libexec/redpanda $out/libexec/redpanda
    cat >$out/bin/redpanda <<EOF
    #!${runtimeShell}
    exec $out/lib/ld.so --argv0 redpanda --library-path $out/lib $out/libexec/redpanda "\$@"
    EOF
    chmod +x $out/bin/redpanda
    runHook postInstall
  '';

  meta = {
    description = "Event broker that speaks the Kafka protocol";
    homepage = "https://www.redpanda.com";
    license = lib.licenses.bsl11;
    platforms = [ "x86_64-linux" ];
    sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
    mainProgram = "redpanda";
  };
})
