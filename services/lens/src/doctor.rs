//! Who sends telemetry, and what was refused of it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use opentelemetry_proto::tonic::{common::v1::any_value::Value, resource::v1::Resource};
use otlp::Refusal;
pub(crate) use otlp::Signal;

use crate::store::{Inserted, SpanId, TraceId};

/// Maximum number of services, and of different notes. At the limit, the one that is oldest leaves.
const LIMIT: usize = 500;

/// Maximum length of a stored text, in characters.
const LENGTH: usize = 500;

/// Who sends telemetry, and what was refused of it.
#[derive(Debug, Default)]
pub struct Doctor {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By name and instance.
    services: HashMap<(String, String), Service>,
    /// By signal and [`kind`] of reason.
    notes: HashMap<(Option<Signal>, String), Note>,
    /// Number of spans that came again.
    duplicates: u64,
    /// Number of spans with the ids of another one, and the last of them.
    conflicts: Option<(u64, (TraceId, SpanId))>,
}

/// An instance of a service that has sent something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Service {
    /// Its `service.name`. Empty if it has none.
    pub name: String,
    /// Its `service.instance.id`. Empty if it has none.
    pub instance: String,
    /// Its SDK: language, name and version, as far as they are known.
    pub sdk: String,
    /// Number of spans received.
    pub spans: u64,
    /// Number of data points received.
    pub points: u64,
    /// Number of log records received.
    pub logs: u64,
    /// Time of the last request.
    pub last: SystemTime,
}

/// A reason to refuse telemetry, or a warning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// The signal, if it is known.
    pub signal: Option<Signal>,
    /// The reason, as the sender was last told.
    pub reason: String,
    /// Number of requests.
    pub requests: u64,
    /// Number of requests that were refused as a whole.
    pub refused: u64,
    /// Number of rejected records of accepted requests.
    pub rejected: u64,
    /// Time of the first.
    pub first: SystemTime,
    /// Time of the last.
    pub last: SystemTime,
}

/// The records of one resource in a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count<'a> {
    pub(crate) resource: Option<&'a Resource>,
    pub(crate) signal: Signal,
    pub(crate) records: usize,
}

impl Service {
    /// Numbers of spans, log records and data points.
    pub(crate) fn counts(&self) -> [u64; 3] {
        [self.spans, self.logs, self.points]
    }
}

impl Doctor {
    /// All services, by name and instance.
    pub fn services(&self) -> Vec<Service> {
        let mut services: Vec<_> = self.lock().services.values().cloned().collect();
        services.sort_by(|a, b| (&a.name, &a.instance).cmp(&(&b.name, &b.instance)));
        services
    }

    /// What was refused or warned about, newest first.
    pub fn notes(&self) -> Vec<Note> {
        let mut notes: Vec<_> = self.lock().notes.values().cloned().collect();
        notes.sort_by_key(|note| std::cmp::Reverse(note.last));
        notes
    }

    /// Counts what a request has. Returns the number of its records.
    pub(crate) fn received<'a>(&self, counts: impl Iterator<Item = Count<'a>>) -> usize {
        let now = SystemTime::now();
        let mut inner = self.lock();
        counts
            .map(|count| {
                let attribute = |key| attribute(count.resource, key);
                let key = (attribute("service.name"), attribute("service.instance.id"));
                if !inner.services.contains_key(&key) {
                    make_room(&mut inner.services, |service| service.last);
                }
                let service = inner.services.entry(key).or_insert_with_key(|key| Service {
                    name: key.0.clone(),
                    instance: key.1.clone(),
                    sdk: sdk(count.resource),
                    spans: 0,
                    points: 0,
                    logs: 0,
                    last: now,
                });
                let total = match count.signal {
                    Signal::Traces => &mut service.spans,
                    Signal::Metrics => &mut service.points,
                    Signal::Logs => &mut service.logs,
                };
                *total += count.records as u64;
                service.last = now;
                count.records
            })
            .sum()
    }

    /// Number of spans that were received more than once, and are stored once.
    pub fn duplicates(&self) -> u64 {
        self.lock().duplicates
    }

    /// Number of spans that are not stored, because another span has the same ids, and the last of them.
    pub(crate) fn conflicts(&self) -> Option<(u64, (TraceId, SpanId))> {
        self.lock().conflicts
    }

    /// Counts spans whose ids were stored already.
    pub(crate) fn repeated(&self, inserted: &Inserted) {
        if inserted.duplicates + inserted.conflicts == 0 {
            return;
        }
        let mut inner = self.lock();
        inner.duplicates += inserted.duplicates as u64;
        if let Some(last) = inserted.conflict {
            let before = inner.conflicts.map_or(0, |(count, _)| count);
            inner.conflicts = Some((before + inserted.conflicts as u64, last));
        }
    }

    /// Notes a request that another part than the receiver refused.
    pub(crate) fn turned_away(&self, signal: Option<Signal>, reason: &str) {
        self.refused(&Refusal {
            signal,
            rejected: None,
            reason: reason.to_owned(),
        });
    }

    /// Notes what the receiver refused.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        let now = SystemTime::now();
        let reason = cut(&refusal.reason);
        let key = (refusal.signal, kind(&reason));
        let mut inner = self.lock();
        if !inner.notes.contains_key(&key) {
            make_room(&mut inner.notes, |note| note.last);
        }
        let note = inner.notes.entry(key).or_insert_with(|| Note {
            signal: refusal.signal,
            reason: String::new(),
            requests: 0,
            refused: 0,
            rejected: 0,
            first: now,
            last: now,
        });
        note.reason = reason;
        note.requests += 1;
        match refusal.rejected {
            Some(records) => note.rejected += records,
            None => note.refused += 1,
        }
        note.last = now;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reason without what differs between one record and several.
fn kind(reason: &str) -> String {
    let mut kind = reason.replace(|char: char| char.is_ascii_digit(), "");
    for (many, one) in [
        ("spans", "span"),
        ("log records", "log record"),
        ("data points", "data point"),
        ("metrics", "metric"),
        (": first ", ": "),
        (" ids are", " id are"),
        (" trace ids", " trace id"),
        (": their ", ": its "),
    ] {
        kind = kind.replace(many, one);
    }
    kind
}

/// Removes the oldest entry of a full table.
fn make_room<K: Clone + Eq + std::hash::Hash, V>(
    table: &mut HashMap<K, V>,
    time: impl Fn(&V) -> SystemTime,
) {
    if table.len() < LIMIT {
        return;
    }
    let oldest = table.iter().min_by_key(|(_, value)| time(value));
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        table.remove(&key);
    }
}

fn sdk(resource: Option<&Resource>) -> String {
    let parts = [
        "telemetry.sdk.language",
        "telemetry.sdk.name",
        "telemetry.sdk.version",
    ];
    let parts = parts.map(|key| attribute(resource, key));
    let parts: Vec<_> = parts.iter().filter(|part| !part.is_empty()).collect();
    parts
        .iter()
        .map(|part| part.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The text of an attribute of a resource. Empty if there is none.
fn attribute(resource: Option<&Resource>, key: &str) -> String {
    let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => cut(text),
        _ => String::new(),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LENGTH).collect()
}
