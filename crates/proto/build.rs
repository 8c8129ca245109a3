//! Compiles proto/ with protox, a protobuf compiler in Rust, so that no machine needs protoc.

use std::path::PathBuf;

use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic_prost_build::Builder;

const FILES: [&str; 3] = [
    "user/v1/user.proto",
    "auth/v1/auth.proto",
    "events/v1/events.proto",
];

/// Parts of the names of fields that must not be printed.
const SECRETS: [&str; 4] = ["email", "password", "secret", "token"];

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

    hide_secrets(tonic_prost_build::configure(), &descriptors).compile_fds(descriptors)?;
    Ok(())
}

/// Has `Debug` show the fields as `..` that must not be printed, and all others as they are.
fn hide_secrets(mut builder: Builder, descriptors: &FileDescriptorSet) -> Builder {
    let mut hiding: Vec<String> = Vec::new();
    for file in &descriptors.file {
        let package = format!(".{}", file.package());
        let top = file.message_type.iter();
        let mut messages: Vec<_> = top.map(|message| (package.clone(), message)).collect();
        while let Some((parent, message)) = messages.pop() {
            let path = format!("{parent}.{}", message.name());
            let secrets = message.field.iter().filter(|field| is_secret(field.name()));
            for field in secrets {
                let name = field.name();
                let index = field.oneof_index.filter(|_| !field.proto3_optional());
                let oneof = index.and_then(|index| message.oneof_decl.get(index as usize));
                let (field, attribute) = match oneof {
                    Some(oneof) => (
                        format!("{path}.{}.{name}", oneof.name()),
                        format!(r#"#[debug("{name}(..)")]"#),
                    ),
                    None => (format!("{path}.{name}"), r#"#[debug("..")]"#.to_owned()),
                };
                builder = builder.field_attribute(field, attribute);
                // What is set for a message counts for the types in it too: set it once.
                let is_set = |set: &String| format!("{path}.").starts_with(&format!("{set}."));
                if !hiding.iter().any(is_set) {
                    builder = builder.type_attribute(&path, "#[derive(::derive_more::Debug)]");
                    hiding.push(path.clone());
                }
            }
            let nested = message.nested_type.iter();
            messages.extend(nested.map(|nested| (path.clone(), nested)));
        }
    }
    builder.skip_debug(hiding)
}

fn is_secret(field: &str) -> bool {
    SECRETS.iter().any(|secret| field.contains(secret))
}
