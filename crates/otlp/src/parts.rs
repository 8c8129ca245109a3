//! Splits the bytes of a large request, so that only a part of its records is decoded at a time.
//!
//! A decoded record may take a hundred times its size on the wire. Each part is a request of its own, with the resources
//! and scopes of its records.

use bytes::Bytes;

use crate::{
    json::{Kind, Table},
    size,
    wire::{Piece, Pieces, append},
};

/// The fields that lead to the records, from the request on.
pub(crate) type Path = &'static [&'static [u32]];

/// Part of a part that resources and scopes may take: each part has them again.
const SHARED: usize = 4;

/// Splits a request into parts that take about `most` bytes each when they are decoded. A part is larger if a record is,
/// or much of it are the resource and scope. Malformed bytes stay malformed in the part that gets them.
///
/// `take` gets each part with an estimate of its bytes in memory. An error ends the split.
pub(crate) fn split<E>(
    table: &'static Table,
    path: Path,
    wire: &[u8],
    most: usize,
    take: impl FnMut(Bytes, usize) -> Result<(), E>,
) -> Result<(), E> {
    let mut splitter = Splitter {
        take,
        path,
        most,
        open: Vec::new(),
        shared: 0,
        size: 0,
    };
    splitter.message(table, 0, wire)
}

struct Splitter<T> {
    take: T,
    path: Path,
    most: usize,
    /// The messages that are being read, outermost first.
    open: Vec<Open>,
    /// Bytes that these messages will take in memory without those on the path.
    shared: usize,
    /// Bytes that the rest of the current part will take in memory.
    size: usize,
}

/// A message that is being read.
struct Open {
    /// The number of its field in the message around it.
    tag: u32,
    /// Its messages on the path that belong to the current part.
    inner: Vec<u8>,
    /// All other fields. Each part has them.
    others: Vec<u8>,
    /// Bytes that they take in memory.
    size: usize,
}

impl Open {
    /// Ends the message in the current part.
    fn end(&mut self) -> Vec<u8> {
        let mut message = std::mem::take(&mut self.inner);
        // Malformed bytes are last, because the bytes after them could make them valid.
        message.extend_from_slice(&self.others);
        message
    }
}

impl<E, T: FnMut(Bytes, usize) -> Result<(), E>> Splitter<T> {
    fn message(&mut self, table: &'static Table, tag: u32, wire: &[u8]) -> Result<(), E> {
        let tags = self.path[self.open.len()];
        let mut others = Vec::new();
        for piece in Pieces(wire) {
            if inner(table, tags, &piece).is_none() {
                others.extend_from_slice(piece.whole);
            }
        }
        let size = size::decoded(table, &others);
        self.reserve(size)?;
        self.shared += size;
        self.open.push(Open {
            tag,
            inner: Vec::new(),
            others,
            size,
        });
        let is_last = self.open.len() == self.path.len();
        for piece in Pieces(wire) {
            let Some(table) = inner(table, tags, &piece) else {
                continue;
            };
            if !is_last {
                self.message(table, piece.tag, piece.content)?;
                continue;
            }
            let size = size::decoded(table, piece.content);
            self.reserve(size)?;
            self.size += size;
            if let Some(open) = self.open.last_mut() {
                open.inner.extend_from_slice(piece.whole);
            }
        }
        let Some(mut open) = self.open.pop() else {
            return Ok(());
        };
        self.shared -= open.size;
        self.size += open.size;
        let message = open.end();
        match self.open.last_mut() {
            Some(outer) => append(&mut outer.inner, open.tag, &message),
            None => (self.take)(message.into(), self.size)?,
        }
        Ok(())
    }

    /// Ends the current part if it has no room for this many bytes more.
    fn reserve(&mut self, bytes: usize) -> Result<(), E> {
        let most = self.most.max(SHARED * self.shared);
        if self.size > 0 && self.shared + self.size + bytes > most {
            self.cut()?;
        }
        Ok(())
    }

    /// Ends the current part. The messages that are being read go on in the next one.
    fn cut(&mut self) -> Result<(), E> {
        let mut part = Vec::new();
        let mut tag = None;
        for open in self.open.iter_mut().rev() {
            if let Some(tag) = tag {
                append(&mut open.inner, tag, &part);
            }
            part = open.end();
            tag = Some(open.tag);
        }
        let size = self.shared + self.size;
        self.size = 0;
        (self.take)(part.into(), size)
    }
}

/// The type of a field on the path. `None` if it is another field.
fn inner(table: &'static Table, tags: &[u32], piece: &Piece<'_>) -> Option<&'static Table> {
    if !piece.has_length || !tags.contains(&piece.tag) {
        return None;
    }
    let field = table.0.iter().find(|field| field.tag == piece.tag)?;
    match field.kind {
        Kind::Message(table) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        collector::{
            logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
            trace::v1::ExportTraceServiceRequest,
        },
        common::v1::InstrumentationScope,
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        metrics::v1::{
            Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
        },
        resource::v1::Resource,
        trace::v1::{ResourceSpans, ScopeSpans, Span},
    };
    use prost::Message as _;

    use super::*;
    use crate::{export::Export, json::Message as _};

    fn resource(number: u32) -> Option<Resource> {
        Some(Resource {
            dropped_attributes_count: number,
            ..Resource::default()
        })
    }

    fn scope(name: &str) -> Option<InstrumentationScope> {
        Some(InstrumentationScope {
            name: name.to_owned(),
            ..InstrumentationScope::default()
        })
    }

    fn split<E: Export>(wire: &[u8], most: usize) -> Vec<Bytes> {
        let mut parts = Vec::new();
        let take = |part: Bytes, size| {
            let counted = size::decoded(E::table(), &part);
            // Wrappers count again in the part of their records.
            assert!(
                size >= counted.min(most) && size <= counted + (4 << 10),
                "{size} {counted}"
            );
            parts.push(part);
            Ok::<_, ()>(())
        };
        super::split(E::table(), E::PATH, wire, most, take).unwrap();
        parts
    }

    fn parts<E: Export>(request: &E, most: usize) -> Vec<E> {
        let parts = split::<E>(&request.encode_to_vec(), most);
        parts
            .into_iter()
            .map(|part| E::decode(part).unwrap())
            .collect()
    }

    #[test]
    fn parts_have_all_records_with_their_resources_and_scopes() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            let mut next = 0;
            let groups = (0..random.u32(0..5)).map(|number| ResourceSpans {
                resource: resource(number),
                scope_spans: (0..random.usize(0..5))
                    .map(|index| ScopeSpans {
                        scope: scope(&format!("scope {index}")),
                        spans: (0..random.usize(0..20))
                            .map(|_| {
                                next += 1;
                                Span {
                                    name: format!("span {next} {}", "x".repeat(random.usize(..50))),
                                    ..Span::default()
                                }
                            })
                            .collect(),
                        schema_url: "of the scope".to_owned(),
                    })
                    .collect(),
                schema_url: "of the resource".to_owned(),
            });
            let request = ExportTraceServiceRequest {
                resource_spans: groups.collect(),
            };
            let flat = |requests: &[ExportTraceServiceRequest]| {
                let groups = requests.iter().flat_map(|one| &one.resource_spans);
                let mut flat = Vec::new();
                for group in groups {
                    for scope in &group.scope_spans {
                        for span in &scope.spans {
                            let urls = (group.schema_url.clone(), scope.schema_url.clone());
                            let resource = group.resource.clone();
                            flat.push((resource, scope.scope.clone(), urls, span.clone()));
                        }
                    }
                }
                flat
            };
            let most = random.usize(1..40_000);
            let parts = parts(&request, most);
            assert_eq!(flat(&parts), flat(std::slice::from_ref(&request)));
            let resources = |requests: &[ExportTraceServiceRequest]| {
                let groups = requests.iter().flat_map(|one| &one.resource_spans);
                let mut resources: Vec<_> = groups.map(|group| group.resource.clone()).collect();
                resources.dedup();
                resources
            };
            // Those without spans too.
            assert_eq!(resources(&parts), resources(&[request]));
        }
    }

    #[test]
    fn parts_take_little_memory() {
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                scope_logs: vec![ScopeLogs {
                    log_records: vec![LogRecord::default(); 20_000],
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        };
        let wire = request.encode_to_vec();
        let table = ExportLogsServiceRequest::table();
        let most = 1 << 20;
        let parts = split::<ExportLogsServiceRequest>(&wire, most);
        let all = size::decoded(table, &wire);
        assert!(parts.len() <= all / most + 2, "{}", parts.len());
        for part in &parts {
            let size = size::decoded(table, part);
            assert!(size <= most + (4 << 10), "{size}");
        }
    }

    #[test]
    fn points_of_one_metric_are_split() {
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                scope_metrics: vec![ScopeMetrics {
                    metrics: vec![Metric {
                        name: "m".to_owned(),
                        unit: "s".to_owned(),
                        data: Some(Data::Gauge(Gauge {
                            data_points: (1..=1000)
                                .map(|time_unix_nano| NumberDataPoint {
                                    time_unix_nano,
                                    ..NumberDataPoint::default()
                                })
                                .collect(),
                        })),
                        ..Metric::default()
                    }],
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        let parts = parts(&request, 10_000);
        assert!(parts.len() > 10);
        let mut times = Vec::new();
        for part in &parts {
            let metric = &part.resource_metrics[0].scope_metrics[0].metrics[0];
            assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("m", "s"));
            let Some(Data::Gauge(gauge)) = &metric.data else {
                panic!("no gauge");
            };
            times.extend(gauge.data_points.iter().map(|point| point.time_unix_nano));
        }
        assert!(times.into_iter().eq(1..=1000));
    }

    #[test]
    fn malformed_bytes_stay_malformed() {
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: resource(1),
                scope_spans: vec![ScopeSpans {
                    spans: vec![Span::default(); 20],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let wire = request.encode_to_vec();
        let mut random = fastrand::Rng::with_seed(2);
        let mut malformed = 0;
        for _ in 0..20_000 {
            let mut wire = wire.clone();
            for _ in 0..random.usize(1..3) {
                let index = random.usize(..wire.len());
                wire[index] = random.u8(..);
            }
            wire.truncate(random.usize(wire.len() / 2..=wire.len()));
            let whole = ExportTraceServiceRequest::decode(&wire[..]);
            let mut parts = Vec::new();
            let take = |part, _| {
                parts.push(part);
                Ok::<_, ()>(())
            };
            let table = ExportTraceServiceRequest::table();
            super::split(table, ExportTraceServiceRequest::PATH, &wire, 2000, take).unwrap();
            let parts = parts
                .into_iter()
                .map(ExportTraceServiceRequest::decode)
                .collect::<Result<Vec<_>, _>>();
            assert_eq!(whole.is_ok(), parts.is_ok(), "{wire:?}");
            match (whole, parts) {
                (Ok(whole), Ok(parts)) => {
                    let records = parts.iter().map(Export::records).sum::<u64>();
                    assert_eq!(whole.records(), records);
                }
                _ => malformed += 1,
            }
        }
        assert!(malformed > 1000, "{malformed}");
    }
}
