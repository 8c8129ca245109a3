//! An event as a Kafka record: a CloudEvent 1.0 in binary content mode, by the Kafka protocol
//! binding 1.0.
//!
//! Records are not trusted: any producer may have written them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::DecodeError;
use prost_types::Timestamp;
use rdkafka::{
    Message,
    message::{Header, Headers as _, OwnedHeaders},
};
use telemetry::propagate;
use uuid::Uuid;

use crate::{Data, Event, table::Row};

const SPECVERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/protobuf";

/// Why a record is not an event of this project.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecodable {
    /// A required header is missing.
    #[error("no header {0}")]
    Missing(&'static str),
    /// A header has an invalid value.
    #[error("a malformed header {0}")]
    Malformed(&'static str),
    /// The payload is not a message of the event's type.
    #[error("malformed data")]
    Data(#[source] DecodeError),
}

/// The headers of a stored event.
pub(crate) fn headers(row: &Row) -> OwnedHeaders {
    let micros = u64::try_from(row.time).unwrap_or_default();
    let time = Timestamp::from(UNIX_EPOCH + Duration::from_micros(micros)).to_string();
    [
        ("ce_specversion", Some(SPECVERSION)),
        ("ce_id", Some(row.id.as_str())),
        ("ce_source", Some(row.source.as_str())),
        ("ce_type", Some(row.kind.as_str())),
        ("ce_time", Some(time.as_str())),
        ("ce_subject", row.subject.as_deref()),
        ("content-type", Some(CONTENT_TYPE)),
        ("traceparent", row.traceparent.as_deref()),
        ("tracestate", row.tracestate.as_deref()),
    ]
    .into_iter()
    .filter(|(_, value)| value.is_some())
    .fold(
        OwnedHeaders::new_with_capacity(9),
        |headers, (key, value)| headers.insert(Header { key, value }),
    )
}

/// The trace context of the producer's span; empty if the headers have none.
pub(crate) fn context(message: &impl Message) -> opentelemetry::Context {
    let headers = message.headers();
    let headers = headers.iter().flat_map(|headers| headers.iter());
    propagate::kafka::extract(headers.map(|header| (header.key, header.value)))
}

/// Decodes a record; `None` if it is a CloudEvent of a type that this program does not know, as
/// a newer producer may send.
pub(crate) fn decode(message: &impl Message) -> Result<Option<Event>, Undecodable> {
    if header(message, "ce_specversion")? != SPECVERSION {
        return Err(Undecodable::Malformed("ce_specversion"));
    }
    let id = header(message, "ce_id")?;
    let id = Uuid::try_parse(id).or(Err(Undecodable::Malformed("ce_id")))?;
    let source = header(message, "ce_source")?.to_owned();
    let kind = header(message, "ce_type")?;
    let payload = message.payload().unwrap_or_default();
    let Some(data) = Data::decode(kind, payload).map_err(Undecodable::Data)? else {
        return Ok(None);
    };
    if header(message, "content-type")? != CONTENT_TYPE {
        return Err(Undecodable::Malformed("content-type"));
    }
    let time = optional(message, "ce_time")?
        .map(|text| text.parse::<Timestamp>())
        .transpose()
        .or(Err(Undecodable::Malformed("ce_time")))?
        .or_else(|| {
            let millis = message.timestamp().to_millis()?;
            let since_epoch = Duration::from_millis(millis.try_into().ok()?);
            Some((UNIX_EPOCH + since_epoch).into())
        });
    let time = time.map_or(Ok(UNIX_EPOCH), SystemTime::try_from);
    let subject = optional(message, "ce_subject")?
        .map(Uuid::try_parse)
        .transpose()
        .or(Err(Undecodable::Malformed("ce_subject")))?;
    Ok(Some(Event {
        id,
        time: time.or(Err(Undecodable::Malformed("ce_time")))?,
        source,
        subject,
        data,
        trace: context(message),
    }))
}

fn header<'a>(message: &'a impl Message, name: &'static str) -> Result<&'a str, Undecodable> {
    optional(message, name)?.ok_or(Undecodable::Missing(name))
}

/// The last header of this name, as text.
fn optional<'a>(
    message: &'a impl Message,
    name: &'static str,
) -> Result<Option<&'a str>, Undecodable> {
    let Some(headers) = message.headers() else {
        return Ok(None);
    };
    let value = (0..headers.count())
        .rev()
        .map(|index| headers.get(index))
        .find(|header| header.key == name)
        .and_then(|header| header.value);
    value
        .map(std::str::from_utf8)
        .transpose()
        .or(Err(Undecodable::Malformed(name)))
}
