//! Tests of `Debug` for the messages and for all other types that hold a secret.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorSet, field_descriptor_proto::Type,
};

use crate::{auth::v1 as auth, events::v1 as events, user::v1 as user};

fn is_secret(field: &str) -> bool {
    field
        .split('_')
        .any(|word| ["email", "password", "token", "secret"].contains(&word))
}

/// Decodes a message and formats it.
type Format = fn(&[u8]) -> String;

/// Every message of the contracts. The test fails for a new message until it is added here.
const MESSAGES: &[(&str, Format)] = &[
    (".auth.v1.LoginRequest", format::<auth::LoginRequest>),
    (".auth.v1.LoginResponse", format::<auth::LoginResponse>),
    (".auth.v1.LogoutRequest", format::<auth::LogoutRequest>),
    (".auth.v1.LogoutResponse", format::<auth::LogoutResponse>),
    (".auth.v1.MeRequest", format::<auth::MeRequest>),
    (".auth.v1.MeResponse", format::<auth::MeResponse>),
    (".auth.v1.RegisterRequest", format::<auth::RegisterRequest>),
    (
        ".auth.v1.RegisterResponse",
        format::<auth::RegisterResponse>,
    ),
    (".auth.v1.Session", format::<auth::Session>),
    (".events.v1.LoginFailed", format::<events::LoginFailed>),
    (
        ".events.v1.LoginSucceeded",
        format::<events::LoginSucceeded>,
    ),
    (
        ".events.v1.SessionRevoked",
        format::<events::SessionRevoked>,
    ),
    (
        ".events.v1.UserRegistered",
        format::<events::UserRegistered>,
    ),
    (
        ".user.v1.CreateUserRequest",
        format::<user::CreateUserRequest>,
    ),
    (
        ".user.v1.CreateUserResponse",
        format::<user::CreateUserResponse>,
    ),
    (".user.v1.GetUserRequest", format::<user::GetUserRequest>),
    (".user.v1.GetUserResponse", format::<user::GetUserResponse>),
    (".user.v1.User", format::<user::User>),
    (
        ".user.v1.VerifyPasswordRequest",
        format::<user::VerifyPasswordRequest>,
    ),
    (
        ".user.v1.VerifyPasswordResponse",
        format::<user::VerifyPasswordResponse>,
    ),
];

fn format<M: Message + Default + fmt::Debug>(bytes: &[u8]) -> String {
    format!("{:?}", M::decode(bytes).unwrap())
}

/// The messages of the contracts, with their paths.
fn declared(descriptors: &FileDescriptorSet) -> Vec<(String, &DescriptorProto)> {
    let mut declared: Vec<_> = descriptors
        .file
        .iter()
        .filter(|file| !file.package().starts_with("google."))
        .flat_map(|file| {
            let of = |message: &DescriptorProto| format!(".{}.{}", file.package(), message.name());
            file.message_type
                .iter()
                .map(move |message| (of(message), message))
        })
        .collect();
    let nested: Vec<_> = declared
        .iter()
        .flat_map(|(path, message)| {
            let of = move |nested: &DescriptorProto| format!("{path}.{}", nested.name());
            message
                .nested_type
                .iter()
                .map(move |nested| (of(nested), nested))
        })
        .collect();
    declared.extend(nested);
    declared.sort_by(|one, other| one.0.cmp(&other.0));
    declared
}

/// An encoded field with the bytes `content`.
fn encode(field: &FieldDescriptorProto, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(field.number() as u32, WireType::LengthDelimited, &mut bytes);
    encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// Every text field in a message and its submessages: the path of field names, and an encoded message
/// in which only that field is set.
fn texts(declared: &[(String, &DescriptorProto)], path: &str) -> Vec<(String, Vec<u8>)> {
    let Some((_, message)) = declared.iter().find(|(declared, _)| declared == path) else {
        return Vec::new(); // a message of Google
    };
    let mut found = Vec::new();
    for field in &message.field {
        match field.r#type() {
            Type::String | Type::Bytes => {
                found.push((field.name().to_owned(), encode(field, b"MARKER")));
            }
            Type::Message => {
                for (name, content) in texts(declared, field.type_name()) {
                    found.push((format!("{}.{name}", field.name()), encode(field, &content)));
                }
            }
            _ => {}
        }
    }
    found
}

#[test]
fn secrets_are_hidden_and_all_else_is_shown() {
    let descriptors = FileDescriptorSet::decode(crate::DESCRIPTORS).unwrap();
    let declared = declared(&descriptors);
    let names: Vec<_> = declared.iter().map(|(path, _)| path.as_str()).collect();
    let known: Vec<_> = MESSAGES.iter().map(|(path, _)| *path).collect();
    assert_eq!(known, names);

    let (mut hidden, mut shown) = (0, 0);
    for (path, format) in MESSAGES {
        for (field, bytes) in texts(&declared, path) {
            let text = format(&bytes);
            let last = field.rsplit('.').next().unwrap();
            let is_secret = is_secret(last);
            assert_eq!(
                !text.contains("MARKER"),
                is_secret,
                "{path}.{field}: {text}"
            );
            assert!(
                text.contains(last) || path.ends_with("GetUserRequest"),
                "{text}"
            );
            *if is_secret { &mut hidden } else { &mut shown } += 1;
        }
    }
    assert!(hidden > 10 && shown > 10, "{hidden} {shown}");
}

/// The Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// The fields that a derived `Debug` shows although they hold a secret as text.
fn shown_secrets(source: &str) -> Vec<&str> {
    let mut shown = Vec::new();
    let (mut is_derived, mut is_inside, mut is_hidden) = (false, false, false);
    for line in source.lines().map(str::trim_end) {
        let code = line.trim_start();
        if code.starts_with("#[derive(") {
            is_derived = code.contains("Debug");
        } else if code.starts_with("#[debug(") {
            is_hidden = true;
        } else if is_inside && line == "}" {
            is_inside = false;
        } else if code.contains("struct ") || code.contains("enum ") {
            is_inside = std::mem::take(&mut is_derived) && code.ends_with('{');
        } else if is_inside && !code.starts_with('#') && !code.starts_with("//") {
            let fields = code.split([',', '{']).filter(|field| {
                let Some((name, holds)) = field.split_once(": ") else {
                    return false;
                };
                let name = name.rsplit(' ').next().unwrap_or_default();
                is_secret(name) && (holds.contains("String") || holds.contains("str"))
            });
            if !std::mem::take(&mut is_hidden) {
                shown.extend(fields);
            }
        }
    }
    shown
}

#[test]
fn every_type_that_holds_a_secret_hides_it() {
    let example = "\
#[derive(Clone, Debug)]
struct Example {
    /// An email: a text.
    pub(crate) email: String,
    #[debug(\"..\")]
    token: Option<String>,
    token_count: usize,
    password: Password,
}

#[derive(Clone)]
struct Unprintable {
    email: String,
}

#[derive(Debug)]
enum Request<'a> {
    Login { password: &'a str },
}";
    let shown: Vec<_> = shown_secrets(example).into_iter().map(str::trim).collect();
    assert_eq!(shown, ["pub(crate) email: String", "password: &'a str }"]);

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let [crates, services] = ["crates", "services"].map(|folder| sources(&root.join(folder)));
    assert!(crates.len() > 100 && services.len() > 100);
    for file in crates
        .iter()
        .chain(&services)
        .filter(|file| !file.ends_with("tests.rs"))
    {
        let source = fs::read_to_string(file).unwrap();
        let program = source.split("\n#[cfg(test)]").next().unwrap();
        let shown = shown_secrets(program);
        assert!(shown.is_empty(), "{}: {shown:?}", file.display());
    }
}
