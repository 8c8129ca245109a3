//! Compiles proto/ with protox, a protobuf compiler in Rust, so that no machine needs protoc.

use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 3] = [
    "user/v1/user.proto",
    "auth/v1/auth.proto",
    "events/v1/events.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("no CARGO_MANIFEST_DIR")?)
            .join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());

    let descriptors = protox::compile(FILES, [&root])?;

    // Reflection serves the same descriptors that the code was made from.
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;

    // Telemetry knows the methods by name: what is not in this list is not reported by name.
    let methods: Vec<String> = descriptors
        .file
        .iter()
        .flat_map(|file| {
            file.service
                .iter()
                .map(move |service| (file.package(), service))
        })
        .flat_map(|(package, service)| {
            let name = service.name();
            service
                .method
                .iter()
                .map(move |method| format!("{package}.{name}/{}", method.name()))
        })
        .collect();
    std::fs::write(out.join("methods.rs"), format!("&{methods:?}"))?;

    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
