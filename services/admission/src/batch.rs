//! Parts of a request: what is removed from it, and how it is divided.
//!
//! A request is not decoded. Its bytes are cheaper to read, and they stay as they are: a sender may use fields that this
//! version does not know, and texts that are no UTF-8.

use std::{
    hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher},
    ops::Range,
};

use bytes::Bytes;
use otlp::wire::{Piece, Pieces, append};
use prost::encoding::decode_varint;

use crate::series::{Dropped, Reason};

/// The name of a service without one, as in OpenTelemetry's SDKs.
const UNKNOWN: &str = "unknown_service";

/// The numbers of fields in opentelemetry/proto/metrics/v1/metrics.proto and the files that it imports.
mod field {
    /// `ExportMetricsServiceRequest.resource_metrics`.
    pub(super) const GROUP: u32 = 1;
    /// `ResourceMetrics.resource`.
    pub(super) const RESOURCE: u32 = 1;
    /// `ResourceMetrics.scope_metrics`.
    pub(super) const SCOPE: u32 = 2;
    /// `ScopeMetrics.metrics`.
    pub(super) const METRIC: u32 = 2;
    /// `Metric.name`.
    pub(super) const NAME: u32 = 1;
    /// `Metric.unit`.
    pub(super) const UNIT: u32 = 3;
    /// `data_points` of each kind of metric.
    pub(super) const POINT: u32 = 1;
    /// `Resource.attributes`.
    pub(super) const ATTRIBUTE: u32 = 1;
    /// `KeyValue.key`.
    pub(super) const KEY: u32 = 1;
    /// `KeyValue.value`.
    pub(super) const VALUE: u32 = 2;
    /// `AnyValue.string_value`.
    pub(super) const TEXT: u32 = 1;
    /// `AnyValue.int_value`.
    pub(super) const NUMBER: u32 = 3;
}

/// A kind of metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// The number of its field in `Metric`.
    tag: u32,
    /// The number of the field `attributes` of its data points.
    attribute: u32,
    /// The number of the repeated field of a data point of which Prometheus makes a series for each value.
    parts: Option<u32>,
    /// How many other series Prometheus makes of a data point.
    series: u32,
}

/// `Metric.histogram`.
const HISTOGRAM: u32 = 9;

/// `Metric.summary`.
const SUMMARY: u32 = 11;

const KINDS: [Kind; 5] = [
    // gauge
    Kind {
        tag: 5,
        attribute: 7,
        parts: None,
        series: 1,
    },
    // sum
    Kind {
        tag: 7,
        attribute: 7,
        parts: None,
        series: 1,
    },
    // histogram: explicit_bounds; the bucket without a bound, the count and the sum
    Kind {
        tag: HISTOGRAM,
        attribute: 9,
        parts: Some(7),
        series: 3,
    },
    // exponential_histogram
    Kind {
        tag: 10,
        attribute: 1,
        parts: None,
        series: 1,
    },
    // summary: quantile_values; the count and the sum
    Kind {
        tag: SUMMARY,
        attribute: 7,
        parts: Some(6),
        series: 2,
    },
];

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    bytes: Bytes,
    groups: Vec<Group>,
    scopes: Vec<Vec<u8>>,
    metrics: Vec<Metric>,
    points: Vec<Point>,
}

/// Data of one resource.
#[derive(Debug)]
struct Group {
    service: String,
    /// Its attributes, encoded.
    attributes: Vec<Bytes>,
    /// Its fields other than the scopes.
    others: Vec<u8>,
}

#[derive(Debug)]
struct Metric {
    kind: Kind,
    name: Bytes,
    unit: Bytes,
    /// Its fields other than the data.
    others: Vec<u8>,
    /// The fields of the data other than the data points.
    of_data: Vec<u8>,
}

#[derive(Debug)]
struct Point {
    group: usize,
    scope: usize,
    metric: usize,
    /// Its field in the bytes of the request.
    whole: Range<usize>,
    content: Range<usize>,
}

/// A data point, for the key of its series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Described<'a> {
    request: &'a Request,
    point: &'a Point,
}

/// Data points of a request. Those of a service follow each other, in it those of a metric, and in it those of a series.
#[derive(Clone, Debug)]
pub(crate) struct Batch<'a> {
    request: &'a Request,
    points: Vec<Member>,
}

/// A data point of a batch.
#[derive(Clone, Copy, Debug)]
struct Member {
    /// Its number in the request.
    index: usize,
    /// A hash of its metric.
    metric: u64,
    /// A hash of its attributes.
    series: u64,
}

impl Request {
    /// Reads a request. The bytes of all fields other than data points are kept with the message that has them.
    pub(crate) fn read(bytes: Bytes) -> Self {
        let mut request = Self {
            bytes,
            groups: Vec::new(),
            scopes: Vec::new(),
            metrics: Vec::new(),
            points: Vec::new(),
        };
        let bytes = request.bytes.clone();
        for group in inner(&bytes, field::GROUP) {
            request.read_group(group.content);
        }
        request
    }

    fn read_group(&mut self, group: &[u8]) {
        let resource = inner(group, field::RESOURCE)
            .flat_map(|resource| inner(resource.content, field::ATTRIBUTE));
        let attributes: Vec<_> = resource
            .map(|attribute| self.bytes.slice_ref(attribute.content))
            .collect();
        self.groups.push(Group {
            service: service(&attributes),
            attributes,
            others: others(group, |tag| tag == field::SCOPE),
        });
        for scope in inner(group, field::SCOPE) {
            self.scopes
                .push(others(scope.content, |tag| tag == field::METRIC));
            for metric in inner(scope.content, field::METRIC) {
                self.read_metric(metric.content);
            }
        }
    }

    fn read_metric(&mut self, metric: &[u8]) {
        let text = |tag| {
            let text = inner(metric, tag).last();
            text.map_or(Bytes::new(), |text| self.bytes.slice_ref(text.content))
        };
        let (name, unit) = (text(field::NAME), text(field::UNIT));
        for kind in KINDS {
            for data in inner(metric, kind.tag) {
                self.metrics.push(Metric {
                    kind,
                    name: name.clone(),
                    unit: unit.clone(),
                    others: others(metric, |tag| KINDS.iter().any(|kind| kind.tag == tag)),
                    of_data: others(data.content, |tag| tag == field::POINT),
                });
                let points = inner(data.content, field::POINT);
                let points = points.map(|point| Point {
                    group: self.groups.len() - 1,
                    scope: self.scopes.len() - 1,
                    metric: self.metrics.len() - 1,
                    whole: range(&self.bytes, point.whole),
                    content: range(&self.bytes, point.content),
                });
                self.points.extend(points);
            }
        }
    }

    /// The data points, in their order.
    pub(crate) fn points(&self) -> impl Iterator<Item = Described<'_>> {
        self.points.iter().map(|point| Described {
            request: self,
            point,
        })
    }

    /// All data points.
    pub(crate) fn all(&self) -> Batch<'_> {
        let hashes = BuildHasherDefault::<DefaultHasher>::default();
        let resources = self.groups.iter();
        let resources: Vec<_> = resources
            .map(|group| hashes.hash_one(&group.attributes))
            .collect();
        let member = |(index, point): (usize, Described<'_>)| {
            let attributes: Vec<_> = point.attributes().collect();
            Member {
                index,
                metric: hashes.hash_one(point.metric()),
                series: hashes.hash_one((resources[point.resource()], attributes)),
            }
        };
        let mut points: Vec<_> = self.points().enumerate().map(member).collect();
        points.sort_by_key(|it| (self.service(it.index), it.metric, it.series));
        Batch {
            request: self,
            points,
        }
    }

    /// The data points without a reason to drop them, and the numbers of the others. There is one reason for each data
    /// point.
    pub(crate) fn admitted(&self, reasons: &[Option<Reason>]) -> (Batch<'_>, Dropped) {
        let mut batch = self.all();
        let mut dropped = Dropped::new();
        batch.points.retain(|point| {
            let reason = reasons.get(point.index).copied().flatten();
            if let Some(reason) = reason {
                let service = self.service(point.index).to_owned();
                *dropped.entry((service, reason)).or_default() += 1;
            }
            reason.is_none()
        });
        (batch, dropped)
    }

    fn service(&self, point: usize) -> &str {
        &self.groups[self.points[point].group].service
    }
}

impl<'a> Described<'a> {
    /// The service with its namespace: the label `job` in Prometheus.
    pub(crate) fn service(&self) -> &'a str {
        &self.group().service
    }

    /// The number of its resource in the request.
    pub(crate) fn resource(&self) -> usize {
        self.point.group
    }

    /// The attributes of its resource, encoded.
    pub(crate) fn resource_attributes(&self) -> impl Iterator<Item = &'a [u8]> {
        self.group()
            .attributes
            .iter()
            .map(|attribute| &attribute[..])
    }

    /// What names its metric: the name, the unit and the kind.
    pub(crate) fn metric(&self) -> (&'a [u8], &'a [u8], u32) {
        let metric = &self.request.metrics[self.point.metric];
        (&metric.name, &metric.unit, metric.kind.tag)
    }

    /// Its attributes, encoded.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &'a [u8]> {
        inner(self.content(), self.kind().attribute).map(|piece| piece.content)
    }

    /// The bounds of its buckets, or its quantiles: each is a series of its own in Prometheus.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'a [u8]> {
        let kind = self.kind();
        let pieces = Pieces(self.content()).filter(move |piece| Some(piece.tag) == kind.parts);
        pieces.map(move |piece| match kind.tag {
            // A quantile has a value too.
            SUMMARY => Pieces(piece.content)
                .find(|inner| inner.tag == 1)
                .map_or(&[][..], |inner| inner.whole),
            _ => piece.whole,
        })
    }

    /// The number of its series in Prometheus.
    pub(crate) fn series(&self) -> u32 {
        let kind = self.kind();
        let parts = kind.parts.map_or(0, |tag| {
            let parts = Pieces(self.content()).filter(|piece| piece.tag == tag);
            // A list of bounds is packed, eight bytes each.
            let bounds = |piece: Piece<'_>| {
                if kind.tag == HISTOGRAM && piece.has_length {
                    piece.content.len() / 8
                } else {
                    1
                }
            };
            parts.map(bounds).sum()
        });
        kind.series
            .saturating_add(u32::try_from(parts).unwrap_or(u32::MAX))
    }

    fn group(&self) -> &'a Group {
        &self.request.groups[self.point.group]
    }

    fn kind(&self) -> Kind {
        self.request.metrics[self.point.metric].kind
    }

    fn content(&self) -> &'a [u8] {
        &self.request.bytes[self.point.content.clone()]
    }
}

impl<'a> Batch<'a> {
    /// The number of data points by service.
    pub(crate) fn count(&self, reason: Reason) -> Dropped {
        let mut counts = Dropped::new();
        for part in self
            .points
            .chunk_by(|a, b| self.service(a) == self.service(b))
        {
            counts.insert(
                (self.service(&part[0]).to_owned(), reason),
                part.len() as u64,
            );
        }
        counts
    }

    /// The service and the metric of all data points, if they have the same.
    pub(crate) fn metric(&self) -> Option<(String, u64)> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let is_one = self.service(first) == self.service(last) && first.metric == last.metric;
        is_one.then(|| (self.service(first).to_owned(), first.metric))
    }

    /// Divides it into two: between services if there are several, otherwise between metrics, or between series. `None`
    /// if it has one data point or none.
    pub(crate) fn divide(mut self) -> Option<(Self, Self)> {
        let levels: [fn(&Self, &Member, &Member) -> bool; 3] = [
            |batch, a, b| batch.service(a) != batch.service(b),
            |_, a, b| a.metric != b.metric,
            |_, a, b| a.series != b.series,
        ];
        let middle = self.points.len() / 2;
        let between = levels.iter().find_map(|differ| {
            let boundary = |at: &usize| differ(&self, &self.points[at - 1], &self.points[*at]);
            let boundaries = (1..self.points.len()).filter(boundary);
            boundaries.min_by_key(|at| at.abs_diff(middle))
        });
        let at = between.unwrap_or(middle);
        if at == 0 {
            return None;
        }
        let points = self.points.split_off(at);
        let request = self.request;
        Some((self, Self { request, points }))
    }

    /// Separates the data points of the metrics for which `is_suspect` says so, and returns a part for each.
    pub(crate) fn without(
        mut self,
        is_suspect: impl Fn(&(String, u64)) -> bool,
    ) -> (Self, Vec<Self>) {
        let request = self.request;
        let mut suspects: Vec<Self> = Vec::new();
        let mut others = Vec::new();
        let is_same = |a: &Member, b: &Member| {
            request.service(a.index) == request.service(b.index) && a.metric == b.metric
        };
        for part in self.points.chunk_by(is_same) {
            let metric = (request.service(part[0].index).to_owned(), part[0].metric);
            if is_suspect(&metric) {
                let points = part.to_vec();
                suspects.push(Self { request, points });
            } else {
                others.extend_from_slice(part);
            }
        }
        self.points = others;
        (self, suspects)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    fn service(&self, point: &Member) -> &'a str {
        self.request.service(point.index)
    }

    /// A request with these data points.
    pub(crate) fn encode(&self) -> Bytes {
        let Request {
            bytes,
            groups,
            scopes,
            metrics,
            points,
        } = self.request;
        let point = |member: &Member| &points[member.index];
        let mut request = Vec::new();
        for of_group in self
            .points
            .chunk_by(|a, b| point(a).group == point(b).group)
        {
            let mut group = Vec::new();
            for of_scope in of_group.chunk_by(|a, b| point(a).scope == point(b).scope) {
                let mut scope = Vec::new();
                for of_metric in of_scope.chunk_by(|a, b| point(a).metric == point(b).metric) {
                    let metric = &metrics[point(&of_metric[0]).metric];
                    let mut data = metric.of_data.clone();
                    for member in of_metric {
                        data.extend_from_slice(&bytes[point(member).whole.clone()]);
                    }
                    let mut encoded = metric.others.clone();
                    append(&mut encoded, metric.kind.tag, &data);
                    append(&mut scope, field::METRIC, &encoded);
                }
                scope.extend_from_slice(&scopes[point(&of_scope[0]).scope]);
                append(&mut group, field::SCOPE, &scope);
            }
            group.extend_from_slice(&groups[point(&of_group[0]).group].others);
            append(&mut request, field::GROUP, &group);
        }
        request.into()
    }
}

/// The messages, texts or bytes of this number in a message.
fn inner(message: &[u8], tag: u32) -> impl Iterator<Item = Piece<'_>> {
    Pieces(message).filter(move |piece| piece.tag == tag && piece.has_length)
}

/// The other fields of a message.
fn others(message: &[u8], is_inner: impl Fn(u32) -> bool) -> Vec<u8> {
    let pieces = Pieces(message).filter(|piece| !(piece.has_length && is_inner(piece.tag)));
    let mut others = Vec::new();
    pieces.for_each(|piece| others.extend_from_slice(piece.whole));
    others
}

/// Where a part of the bytes is.
fn range(bytes: &Bytes, part: &[u8]) -> Range<usize> {
    let start = part.as_ptr().addr() - bytes.as_ptr().addr();
    start..start + part.len()
}

/// The service of a resource, with its namespace: the label `job` in Prometheus.
fn service(attributes: &[Bytes]) -> String {
    let text = |key: &str| {
        let is_key = |attribute: &&Bytes| {
            inner(attribute, field::KEY).any(|it| it.content == key.as_bytes())
        };
        let attribute = attributes.iter().find(is_key)?;
        let value = inner(attribute, field::VALUE).last()?;
        let number = Pieces(value.content).find(|piece| piece.tag == field::NUMBER);
        if let Some(number) = number {
            // The key of the field has one byte.
            let number = decode_varint(&mut number.whole.get(1..)?).ok()?;
            return Some(number.cast_signed().to_string().into());
        }
        let text = inner(value.content, field::TEXT).last()?;
        Some(String::from_utf8_lossy(text.content)).filter(|text| !text.is_empty())
    };
    let name = text("service.name").unwrap_or_else(|| UNKNOWN.into());
    match text("service.namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.into_owned(),
    }
}

#[cfg(test)]
mod tests;
