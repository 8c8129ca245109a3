//! Compares the code under `src/generated` with new output of the generator.
//!
//! The code is checked in so that a build needs neither a protobuf compiler nor a code generator.
//! `OTELIX_WRITE=1 cargo test -p proto --test generated` regenerates it. The generator uses protox, a protobuf compiler
//! in Rust, so it does not need protoc.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

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

#[test]
fn the_generated_code_is_that_of_the_contracts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated");
    let generated = generate();
    if env::var_os("OTELIX_WRITE").is_some() {
        for (name, content) in &generated {
            fs::write(folder.join(name), content).unwrap();
        }
    }
    let names: Vec<_> = files(&folder).into_keys().collect();
    assert!(names.iter().eq(generated.keys()), "{names:?}");
    for (name, content) in files(&folder) {
        assert!(
            generated[&name] == content,
            "src/generated/{} is not what the generator gives: \
             write it anew with OTELIX_WRITE=1 cargo test -p proto --test generated",
            name.display()
        );
    }
}

/// The files of a folder, by name.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let content = fs::read(entry.path()).unwrap();
            (entry.file_name().into(), content)
        })
        .collect()
}

/// The code of all contracts, by file.
fn generate() -> BTreeMap<PathBuf, Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let descriptors = protox::compile(FILES, [&root]).unwrap();
    let out = tempfile::tempdir().unwrap();

    // Reflection serves the same descriptors that the code is generated from.
    let encoded = descriptors.encode_to_vec();
    fs::write(out.path().join("descriptors.bin"), encoded).unwrap();

    let methods = methods(&descriptors);
    fs::write(out.path().join("methods.rs"), methods).unwrap();

    hide_secrets(tonic_prost_build::configure(), &descriptors)
        .out_dir(out.path())
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)
        .unwrap();
    files(out.path())
}

/// The methods of all services. Telemetry reports a method by its name only if the list has it.
fn methods(descriptors: &FileDescriptorSet) -> String {
    let mut list = String::new();
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                let name = format!("{}.{}/{}", file.package(), service.name(), method.name());
                list.push_str(&format!("    {name:?},\n"));
            }
        }
    }
    format!("&[\n{list}]\n")
}

/// Makes `Debug` show secret fields as `..` and all others with their values.
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
                // An attribute of a message also applies to the types in it, so set it only once.
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
