//! The resource of each service of the process. They differ in `service.name` alone.

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_semantic_conventions::resource::SERVICE_NAME;

use crate::service::MARK;

/// Replaces the `service.name` of the process in the attributes of a resource.
pub(super) fn rename(attributes: &mut [KeyValue], service: Option<&str>) {
    let name = attributes
        .iter_mut()
        .find(|attribute| attribute.key == SERVICE_NAME);
    if let (Some(name), Some(service)) = (name, service) {
        name.value = Some(AnyValue {
            value: Some(Value::StringValue(service.to_owned())),
        });
    }
}

/// Groups items by the mark in their scopes, and removes the marks. Items without a mark belong to the process, whose
/// service is `None`.
pub(super) fn group<T>(
    items: Vec<T>,
    scope: impl Fn(&mut T) -> Option<&mut InstrumentationScope>,
) -> Vec<(Option<String>, Vec<T>)> {
    let mut groups: Vec<(Option<String>, Vec<T>)> = Vec::new();
    for mut item in items {
        let service = scope(&mut item).and_then(unmark);
        match groups.iter_mut().find(|(known, _)| *known == service) {
            Some((_, group)) => group.push(item),
            None => groups.push((service, vec![item])),
        }
    }
    groups
}

fn unmark(scope: &mut InstrumentationScope) -> Option<String> {
    let mark = scope
        .attributes
        .iter()
        .position(|attribute| attribute.key == MARK)?;
    match scope.attributes.swap_remove(mark).value?.value? {
        Value::StringValue(service) => Some(service),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use opentelemetry_proto::tonic::resource::v1::Resource as WireResource;
    use opentelemetry_sdk::Resource;

    use super::*;

    /// A resource of a process.
    pub(in crate::export) fn process() -> Resource {
        Resource::builder_empty()
            .with_service_name("process")
            .with_attribute(opentelemetry::KeyValue::new("host.name", "here"))
            .build()
    }

    /// The `service.name` of a resource, which has the other attributes of [`process`] too.
    pub(in crate::export) fn service(resource: Option<&WireResource>) -> &str {
        let attributes = &resource.unwrap().attributes;
        let text = |key: &str| {
            let mut found = attributes.iter().filter(|attribute| attribute.key == key);
            let value = found.next().unwrap().value.as_ref().unwrap();
            assert!(found.next().is_none(), "{attributes:?}");
            match value.value.as_ref().unwrap() {
                Value::StringValue(text) => text.as_str(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(attributes.len(), 2, "{attributes:?}");
        assert_eq!(text("host.name"), "here");
        text("service.name")
    }
}
