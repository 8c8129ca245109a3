//! Tests of a waterfall with small traces, and with one of 50,000 spans.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind},
};

use super::*;
use crate::store::{Store, TraceId};

/// Number of spans of a large trace.
const LARGE: u64 = 50_000;

/// Maximum time for a large trace. It takes a fraction of that, unless the work is quadratic.
const LIMIT: Duration = Duration::from_secs(10);

fn id(number: u64) -> SpanId {
    SpanId::from_bytes(&number.to_be_bytes()).unwrap()
}

/// A span of the service `web` with a name of its own. Parent 0 is none.
fn span(number: u64, parent: u64, time: Range<u64>) -> SpanView<'static> {
    SpanView {
        trace: TraceId::from_bytes(&[1; 16]).unwrap(),
        span: id(number),
        parent: (parent != 0).then(|| id(parent)),
        service: "web",
        name: ["a", "b"][number as usize % 2],
        kind: SpanKind::Internal,
        error: false,
        start: time.start,
        duration: time.end - time.start,
    }
}

fn at(service: &'static str, kind: SpanKind, span: SpanView<'static>) -> SpanView<'static> {
    SpanView {
        service,
        kind,
        ..span
    }
}

fn query(number: u64, parent: u64, time: Range<u64>) -> SpanView<'static> {
    SpanView {
        name: "SELECT",
        ..span(number, parent, time)
    }
}

fn node(waterfall: &Waterfall<'_>, number: u64) -> Node {
    let all = waterfall.tree.order.iter();
    all.copied()
        .filter(|&node| waterfall.id(node) == id(number))
        .min()
        .unwrap()
}

/// Each row as its depth, and `?` for a missing parent or the count for a group, and the id.
fn lines(waterfall: &Waterfall<'_>, collapsed: &Collapsed) -> Vec<String> {
    let window = waterfall.rows(0, usize::MAX, collapsed);
    assert_eq!(window.total, window.rows.len());
    window.rows.iter().map(|row| line(waterfall, row)).collect()
}

fn line(waterfall: &Waterfall<'_>, row: &Row) -> String {
    let number = |node| u64::from_be_bytes(waterfall.id(node).to_bytes());
    let text = match row.item {
        Item::Span(node) => format!("{}", number(node)),
        Item::Missing(node) => format!("?{}", number(node)),
        Item::Group(group) => format!("{}x{}", group.count, number(group.first)),
    };
    let hidden = match row.hidden {
        0 => String::new(),
        hidden => format!(" +{hidden}"),
    };
    format!("{}{text}{hidden}", "-".repeat(row.depth))
}

fn open(waterfall: &Waterfall<'_>) -> Vec<String> {
    lines(waterfall, &Collapsed::default())
}

/// The sections of the critical path of a node by id, start and end.
fn path(waterfall: &Waterfall<'_>, number: u64) -> Vec<(u64, Range<u64>)> {
    waterfall
        .critical_path(node(waterfall, number))
        .into_iter()
        .map(|section| {
            let id = waterfall.id(section.node).to_bytes();
            (u64::from_be_bytes(id), section.time)
        })
        .collect()
}

#[test]
fn children_are_below_their_parents_in_order_of_start() {
    let waterfall = Waterfall::of(vec![
        span(4, 2, 30..40),
        span(3, 1, 50..60),
        span(2, 1, 20..45),
        span(1, 0, 10..90),
        span(5, 2, 25..30),
        span(6, 0, 5..6),
    ]);
    assert_eq!(open(&waterfall), ["6", "1", "-2", "--5", "--4", "-3"]);
    assert_eq!(waterfall.range(), Some(5..90));
    assert_eq!(
        waterfall.parent(node(&waterfall, 4)),
        Some(node(&waterfall, 2))
    );
}

#[test]
fn a_missing_parent_has_a_row_at_its_first_child() {
    let waterfall = Waterfall::of(vec![
        span(1, 0, 20..90),
        span(3, 9, 40..50),
        span(2, 9, 10..30),
        span(4, 8, 25..30),
    ]);
    assert_eq!(open(&waterfall), ["?9", "-2", "-3", "1", "?8", "-4"]);
    let missing = node(&waterfall, 9);
    assert_eq!(waterfall.time(missing), Some(10..50));
    assert_eq!(waterfall.span(missing), None);
    assert_eq!(waterfall.marks(missing), Marks::default());
    assert_eq!(waterfall.self_time(missing), 0);
    assert_eq!(path(&waterfall, 9), [(2, 10..30), (9, 30..40), (3, 40..50)]);
}

#[test]
fn a_span_that_is_its_own_parent_is_cut() {
    let waterfall = Waterfall::of(vec![span(1, 1, 10..20), span(2, 1, 12..14)]);
    assert_eq!(open(&waterfall), ["1", "-2"]);
    let cuts = [1, 2].map(|number| waterfall.marks(node(&waterfall, number)).cut);
    assert_eq!(cuts, [Some(Cut::SelfParent), None]);
}

#[test]
fn a_cycle_is_cut_above_its_first_span() {
    let waterfall = Waterfall::of(vec![
        span(7, 3, 5..6),
        span(1, 3, 30..40),
        span(2, 1, 10..20),
        span(3, 2, 20..30),
        span(4, 0, 50..60),
    ]);
    assert_eq!(open(&waterfall), ["2", "-3", "--7", "--1", "4"]);
    let cuts = [1, 2, 3, 7].map(|number| waterfall.marks(node(&waterfall, number)).cut);
    assert_eq!(cuts, [None, Some(Cut::Cycle), None, None]);
}

#[test]
fn spans_with_one_id_are_all_shown_and_marked() {
    let waterfall = Waterfall::of(vec![
        span(1, 0, 10..20),
        span(2, 1, 12..14),
        span(2, 1, 11..13),
        span(3, 2, 12..13),
    ]);
    assert_eq!(open(&waterfall), ["1", "-2", "-2", "--3"]);
    let duplicates: Vec<_> = (0..4)
        .map(|number| waterfall.marks(Node(number)).duplicate)
        .collect();
    assert_eq!(duplicates, [false, true, true, false]);
}

#[test]
fn a_span_without_a_start_is_last_and_has_no_time() {
    let unset = SpanView {
        start: 0,
        duration: u64::MAX,
        ..span(2, 1, 0..0)
    };
    let waterfall = Waterfall::of(vec![unset, span(1, 0, 10..20), span(3, 1, 12..14)]);
    assert_eq!(open(&waterfall), ["1", "-3", "-2"]);
    assert_eq!(waterfall.range(), Some(10..20));
    let marks = Marks {
        no_start: true,
        ..Marks::default()
    };
    assert_eq!(waterfall.marks(Node(0)), marks);
    assert_eq!(waterfall.self_time(Node(0)), 0);
    assert_eq!(waterfall.self_time(Node(1)), 8);
    assert!(waterfall.critical_path(Node(0)).is_empty());
    assert_eq!(path(&waterfall, 1), [(1, 10..12), (3, 12..14), (1, 14..20)]);
}

#[test]
fn collapsed_spans_and_groups_hide_what_is_below() {
    let mut spans = vec![span(1, 0, 10..90), span(2, 1, 11..12), span(3, 2, 11..12)];
    spans.extend((10..14).map(|number| query(number, 1, number + 10..number + 11)));
    spans.push(span(20, 11, 21..22));
    spans.push(span(4, 1, 80..81));
    let waterfall = Waterfall::of(spans);
    let mut collapsed = Collapsed::default();
    assert_eq!(open(&waterfall), ["1", "-2", "--3", "-4x10 +5", "-4"]);
    collapsed.nodes.insert(id(2));
    collapsed.opened.insert(id(10));
    let rows = [
        "1", "-2 +1", "-4x10", "--10", "--11", "---20", "--12", "--13", "-4",
    ];
    assert_eq!(lines(&waterfall, &collapsed), rows);
    for from in 0..=rows.len() {
        let window = waterfall.rows(from, 3, &collapsed);
        let window_lines: Vec<_> = window
            .rows
            .iter()
            .map(|row| line(&waterfall, row))
            .collect();
        assert_eq!(window_lines, rows[from..(from + 3).min(rows.len())]);
        assert_eq!(window.total, rows.len());
    }
    let row_of = |number, collapsed| waterfall.row_of(node(&waterfall, number), collapsed);
    assert_eq!(row_of(10, &collapsed), Some(3));
    assert_eq!(row_of(20, &collapsed), Some(5));
    assert_eq!(row_of(3, &collapsed), Some(1));
    assert_eq!(row_of(20, &Collapsed::default()), Some(3));
    assert_eq!(waterfall.row_of(Node(99), &collapsed), None);
    collapsed.nodes.insert(id(1));
    assert_eq!(lines(&waterfall, &collapsed), ["1 +8"]);
}

#[test]
fn an_open_group_in_an_open_group_is_one_deeper() {
    let mut spans = vec![span(1, 0, 10..90)];
    spans.extend((10..14).map(|number| query(number, 1, number + 10..number + 11)));
    spans.extend((20..24).map(|number| query(number, 13, number..number + 1)));
    spans.push(span(2, 1, 80..81));
    let waterfall = Waterfall::of(spans);
    let mut collapsed = Collapsed::default();
    collapsed.opened.insert(id(10));
    let rows = [
        "1",
        "-4x10",
        "--10",
        "--11",
        "--12",
        "--13",
        "---4x20 +4",
        "-2",
    ];
    assert_eq!(lines(&waterfall, &collapsed), rows);
    collapsed.opened.insert(id(20));
    let inner = ["---4x20", "----20", "----21", "----22", "----23", "-2"];
    assert_eq!(lines(&waterfall, &collapsed)[6..], inner);
}

#[test]
fn groups_have_four_like_siblings_in_a_row() {
    let mut spans = vec![span(1, 0, 10..90)];
    spans.extend((10..13).map(|number| query(number, 1, number..number + 1)));
    spans.push(at("db", SpanKind::Internal, query(13, 1, 13..14)));
    spans.push(at("web", SpanKind::Client, query(14, 1, 14..15)));
    spans.extend((20..24).map(|number| query(number, 1, number..2 * number - 15)));
    spans.extend((30..34).map(|number| query(number, 0, number + 70..number + 71)));
    spans[7].error = true;
    let waterfall = Waterfall::of(spans);
    let rows = waterfall.rows(0, usize::MAX, &Collapsed::default()).rows;
    let lines: Vec<_> = rows.iter().map(|row| line(&waterfall, row)).collect();
    let expected = [
        "1", "-10", "-11", "-12", "-13", "-14", "-4x20 +4", "30", "31", "32", "33",
    ];
    assert_eq!(lines, expected);
    let group = Group {
        first: node(&waterfall, 20),
        count: 4,
        errors: 1,
        total: 5 + 6 + 7 + 8,
        longest: 8,
        last: node(&waterfall, 23),
    };
    assert_eq!(rows[6].item, Item::Group(group));
}

#[test]
fn self_time_is_what_no_child_covers() {
    let waterfall = Waterfall::of(vec![
        span(1, 0, 100..200),
        span(2, 1, 90..110),
        span(3, 1, 120..150),
        span(4, 1, 130..140),
        span(5, 1, 145..160),
        span(6, 1, 190..250),
        span(7, 1, 300..310),
        span(8, 4, 130..140),
    ]);
    let own = [1, 2, 4, 7].map(|number| waterfall.self_time(node(&waterfall, number)));
    assert_eq!(own, [10 + 30, 20, 0, 10]);
}

#[test]
fn the_critical_path_goes_through_the_last_children_to_end() {
    let waterfall = Waterfall::of(vec![
        span(1, 0, 100..200),
        span(2, 1, 110..130),
        // In parallel: only the second one determines the end.
        span(3, 1, 140..160),
        span(4, 1, 150..180),
        span(5, 4, 155..170),
        span(6, 1, 175..175),
        // Starts last, but ends before another one that covers it.
        span(7, 1, 176..178),
        // Ends together with another one, and starts after it.
        span(8, 1, 115..130),
    ]);
    let expected = [
        (1, 100..110),
        (2, 110..130),
        (1, 130..150),
        (4, 150..155),
        (5, 155..170),
        (4, 170..180),
        (1, 180..200),
    ];
    assert_eq!(path(&waterfall, 1), expected);
    assert_eq!(path(&waterfall, 4), expected[3..6]);
}

#[test]
fn a_child_that_outlives_its_parent_is_not_on_the_critical_path() {
    let producer = at("web", SpanKind::Producer, span(1, 0, 100..200));
    let consumer = at("mail", SpanKind::Consumer, span(2, 1, 150..260));
    let task = span(3, 1, 120..210);
    let waited = span(4, 1, 110..140);
    let waterfall = Waterfall::of(vec![producer, consumer, task, waited]);
    let marks = [2, 3, 4].map(|number| {
        let marks = waterfall.marks(node(&waterfall, number));
        (marks.outlives, marks.ends_late)
    });
    assert_eq!(marks, [(60, 0), (10, 0), (0, 0)]);
    let expected = [(1, 100..110), (4, 110..140), (1, 140..200)];
    assert_eq!(path(&waterfall, 1), expected);
}

#[test]
fn a_parent_waits_for_a_call_to_another_service_only() {
    for (sender, service, receiver, waits) in [
        (SpanKind::Client, "mail", SpanKind::Server, true),
        (SpanKind::Producer, "mail", SpanKind::Server, false),
        (SpanKind::Internal, "mail", SpanKind::Consumer, false),
        (SpanKind::Internal, "web", SpanKind::Internal, false),
    ] {
        let waterfall = Waterfall::of(vec![
            at("web", sender, span(1, 0, 100..200)),
            at(service, receiver, span(2, 1, 150..260)),
        ]);
        let marks = waterfall.marks(node(&waterfall, 2));
        let expected = if waits { (60, 0) } else { (0, 60) };
        assert_eq!((marks.ends_late, marks.outlives), expected);
    }
}

#[test]
fn skewed_clocks_are_marked_and_clipped_on_the_critical_path() {
    let client = at("web", SpanKind::Client, span(1, 0, 100..200));
    let early = at("auth", SpanKind::Server, span(2, 1, 70..120));
    let late = at("auth", SpanKind::Server, span(3, 1, 150..240));
    let own = span(4, 1, 95..98);
    let waterfall = Waterfall::of(vec![client, early, late, own]);
    let marks = [1, 2, 3, 4].map(|number| {
        let marks = waterfall.marks(node(&waterfall, number));
        (marks.starts_early, marks.ends_late, marks.outlives)
    });
    assert_eq!(marks, [(0, 0, 0), (30, 0, 0), (0, 40, 0), (5, 0, 0)]);
    assert_eq!(waterfall.time(node(&waterfall, 2)), Some(70..120));
    let expected = [(2, 100..120), (1, 120..150), (3, 150..200)];
    assert_eq!(path(&waterfall, 1), expected);
}

#[test]
fn a_time_near_the_end_of_the_range_does_not_overflow() {
    let end = SpanView {
        duration: u64::MAX,
        ..span(1, 0, 10..10)
    };
    let mut spans = vec![end];
    spans.extend((2..9).map(|number| SpanView {
        duration: u64::MAX,
        ..query(number, 1, u64::MAX - 1..u64::MAX)
    }));
    let waterfall = Waterfall::of(spans);
    assert_eq!(waterfall.range(), Some(10..u64::MAX));
    assert_eq!(waterfall.self_time(Node(0)), u64::MAX - 11);
    assert_eq!(path(&waterfall, 1).len(), 2);
    assert_eq!(open(&waterfall), ["1", "-7x2 +7"]);
}

/// Does all that a page does with a large trace.
fn check_large(spans: Vec<SpanView<'static>>, depth: usize, sections: usize) {
    let started = Instant::now();
    let waterfall = Waterfall::of(spans);
    let all: Vec<_> = waterfall.tree.order.clone();
    assert_eq!(all.len(), LARGE as usize);
    let window = waterfall.rows(LARGE as usize - 100, 200, &Collapsed::default());
    assert_eq!(window.total, LARGE as usize);
    assert_eq!(window.rows.len(), 100);
    assert_eq!(window.rows[99].depth, depth);
    let root = waterfall.roots()[0];
    assert_eq!(waterfall.critical_path(root).len(), sections);
    let own: u64 = all.iter().map(|&node| waterfall.self_time(node)).sum();
    assert!(own > 0);
    assert!(
        all.iter()
            .all(|&node| waterfall.marks(node) == Marks::default())
    );
    let last = all[all.len() - 1];
    let row = waterfall.row_of(last, &Collapsed::default());
    assert_eq!(row, Some(LARGE as usize - 1));
    let took = started.elapsed();
    assert!(took < LIMIT, "{took:?}");
}

#[test]
fn a_chain_of_50_000_spans_is_laid_out_in_time() {
    let spans = (1..=LARGE).map(|number| span(number, number - 1, number..3 * LARGE - number));
    check_large(
        spans.rev().collect(),
        LARGE as usize - 1,
        2 * LARGE as usize - 1,
    );
}

#[test]
fn a_cycle_of_50_000_spans_is_cut_in_time() {
    let parent = |number| if number == 1 { LARGE } else { number - 1 };
    let spans = (1..=LARGE).map(|number| span(number, parent(number), 10..20));
    let started = Instant::now();
    let waterfall = Waterfall::of(spans.collect());
    assert_eq!(waterfall.roots(), [Node(0)]);
    assert_eq!(waterfall.marks(Node(0)).cut, Some(Cut::Cycle));
    assert_eq!(waterfall.tree.order.len(), LARGE as usize);
    assert!(started.elapsed() < LIMIT);
}

#[test]
fn fifty_thousand_siblings_are_laid_out_in_time() {
    let mut spans = vec![span(1, 0, 1..3 * LARGE)];
    spans.extend((2..=LARGE).map(|number| span(number, 1, 2 * number..2 * number + 1)));
    check_large(spans, 1, 2 * LARGE as usize - 1);
}

#[test]
fn fifty_thousand_repeated_siblings_are_one_row() {
    let mut spans = vec![span(1, 0, 1..3 * LARGE)];
    spans.extend((2..=LARGE).map(|number| query(number, 1, 2 * number..2 * number + 1)));
    let started = Instant::now();
    let waterfall = Waterfall::of(spans);
    assert_eq!(open(&waterfall), ["1", "-49999x2 +49999"]);
    assert!(started.elapsed() < LIMIT);
}

#[test]
fn numbers_are_those_of_the_outline() {
    let spans = [(2, 1, 20), (1, 0, 10)].map(|(number, parent, start)| Span {
        trace_id: [1; 16].into(),
        span_id: id(number).to_bytes().into(),
        parent_span_id: match parent {
            0 => Vec::new(),
            parent => id(parent).to_bytes().into(),
        },
        name: format!("span {number}"),
        start_time_unix_nano: start,
        end_time_unix_nano: start + 5,
        ..Span::default()
    });
    let store = Store::new(1024 * 1024);
    store.insert_traces(&ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: spans.into(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    });
    let outline = store
        .outline(TraceId::from_bytes(&[1; 16]).unwrap())
        .unwrap();
    let waterfall = Waterfall::new(&outline);
    assert_eq!(open(&waterfall), ["1", "-2"]);
    let numbers = waterfall.rows(1, 1, &Collapsed::default()).rows;
    let Item::Span(node) = numbers[0].item else {
        panic!("{numbers:?}");
    };
    assert_eq!(outline.read([node.index()])[0].span.name, "span 2");
}
