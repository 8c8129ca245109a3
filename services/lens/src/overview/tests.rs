use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{
    Calls, Drawing, Kind, Map, Node, Overview, SECOND, What,
    map::{CALLS, NODES},
};
use crate::{
    Lens,
    samples::{MS, failed, lens, linking, log, send, span, with},
};

fn overview(lens: &Lens) -> Arc<Overview> {
    Overview::of(lens, 300 * SECOND).unwrap()
}

/// Each connection as text, with its number of calls and errors.
fn calls(map: &Map) -> Vec<String> {
    let name = |number: usize| {
        let node = &map.nodes[number];
        format!("{:?} {}", node.kind, node.name)
    };
    let calls = map.calls.iter();
    let mut calls: Vec<_> = calls
        .map(|call| {
            let (from, to) = (name(call.from), name(call.to));
            format!("{from} > {to}: {}, {}", call.count, call.errors)
        })
        .collect();
    calls.sort();
    calls
}

#[tokio::test]
async fn services_are_measured_by_requests_or_else_by_roots() {
    let lens = lens();
    let mut slow = failed(span(SpanKind::Server, 1, 1, 0), "late");
    slow.end_time_unix_nano = slow.start_time_unix_nano + 1_000 * MS;
    let inner = span(SpanKind::Internal, 1, 2, 1);
    let spans = (3..=12).map(|id| span(SpanKind::Server, 1, id, 0));
    send(&lens, "web", [slow, inner].into_iter().chain(spans)).await;
    let root = span(SpanKind::Internal, 2, 1, 0);
    send(&lens, "job", [root, span(SpanKind::Client, 2, 2, 1)]).await;
    send(&lens, "", [span(SpanKind::Internal, 3, 1, 9)]).await;

    let overview = overview(&lens);
    let rows = &overview.services.rows;
    let facts: Vec<_> = rows
        .iter()
        .map(|row| (row.name.as_str(), row.what, row.count, row.errors))
        .collect();
    let expected = [
        ("", What::Spans, 1, 0),
        ("job", What::Roots, 1, 0),
        ("web", What::Requests, 11, 1),
    ];
    assert_eq!(facts, expected);
    assert!(rows[2].p50.abs_diff(10 * MS) < MS, "{}", rows[2].p50);
    assert!(
        rows[2].p95.abs_diff(1_000 * MS) < 40 * MS,
        "{}",
        rows[2].p95
    );
    let sum: u64 = rows[2].intervals.iter().map(|(count, _)| count).sum();
    assert_eq!(sum, 11);
    assert!(overview.window.is_live);
    // Only the last minute has spans.
    assert!(overview.services.time < 70 * SECOND);
}

#[tokio::test]
async fn the_window_ends_with_old_data() {
    let lens = lens();
    assert!(Overview::of(&lens, 300 * SECOND).is_none());
    let mut old = span(SpanKind::Server, 1, 1, 0);
    old.start_time_unix_nano = 1_544_712_660 * SECOND;
    old.end_time_unix_nano = 1_544_712_661 * SECOND;
    send(&lens, "web", [old]).await;
    let old = overview(&lens);
    assert!(!old.window.is_live);
    assert_eq!(old.window.range.end, 1_544_712_660 * SECOND + 1);
    assert_eq!(old.services.rows.len(), 1);

    // A clock that is ahead does not hide the spans of today.
    let lens = crate::samples::lens();
    let mut ahead = span(SpanKind::Server, 1, 2, 0);
    ahead.start_time_unix_nano = u64::MAX - 1;
    send(&lens, "ahead", [ahead]).await;
    send(&lens, "web", [span(SpanKind::Server, 1, 3, 0)]).await;
    let overview = overview(&lens);
    assert_eq!(overview.services.rows[0].name, "web");
}

#[tokio::test]
async fn calls_come_from_parents_attributes_and_links() {
    let lens = lens();
    let user = [("server.address", "user"), ("server.port", "80")];
    let client = with(span(SpanKind::Client, 1, 2, 1), &user);
    // It failed before it reached the server.
    let lost = failed(with(span(SpanKind::Client, 1, 3, 1), &user), "refused");
    let away = with(
        span(SpanKind::Client, 1, 4, 1),
        &[("server.address", "mail.example")],
    );
    let named = with(span(SpanKind::Client, 1, 5, 1), &[("peer.service", "auth")]);
    let root = span(SpanKind::Server, 1, 1, 0);
    send(&lens, "web", [root, client, lost, away, named]).await;
    send(&lens, "auth", [span(SpanKind::Server, 9, 1, 0)]).await;

    let sql = [("db.system", "postgresql"), ("db.name", "users")];
    let query = failed(with(span(SpanKind::Client, 1, 21, 20), &sql), "locked");
    let topic = [("messaging.destination.name", "signups")];
    let produced = with(span(SpanKind::Producer, 1, 22, 20), &topic);
    let untold = span(SpanKind::Producer, 1, 23, 20);
    send(
        &lens,
        "user",
        [span(SpanKind::Server, 1, 20, 2), query, produced, untold],
    )
    .await;

    let told = with(span(SpanKind::Consumer, 1, 30, 22), &topic);
    let linked = linking(span(SpanKind::Consumer, 2, 31, 0), 1, 23);
    send(&lens, "mailer", [told, linked]).await;

    let overview = overview(&lens);
    let expected = [
        "Service user > Database users: 1, 1",
        "Service user > Service mailer: 1, 0",
        "Service user > Topic signups: 1, 0",
        "Service web > Peer mail.example: 1, 0",
        "Service web > Service auth: 1, 0",
        "Service web > Service user: 2, 1",
        "Topic signups > Service mailer: 1, 0",
    ];
    assert_eq!(calls(&overview.map), expected);
    let drawing = overview.drawing.as_ref().unwrap();
    assert!(drawing.nodes.iter().all(Option::is_some));
    assert_eq!(overview.map.coverage.traces, 3);
    assert!(!overview.map.coverage.is_cut);
}

#[tokio::test]
async fn errors_that_differ_in_numbers_and_ids_are_one() {
    let lens = lens();
    let fail = |id: u8, name: &str, message: &str| {
        let mut late = failed(span(SpanKind::Server, id, 1, 0), message);
        late.name = name.to_owned();
        late.start_time_unix_nano += u64::from(id) * MS;
        late
    };
    let spans = [
        fail(3, "GET /", "user 3 not found"),
        fail(1, "GET /", "user 1 not found"),
        fail(2, "GET /", "user 2 not found"),
        fail(4, "GET /", "timed out after 30 s"),
        fail(5, "POST /", "user 5 not found"),
        fail(6, "GET /users/6", ""),
        fail(7, "GET /users/7", ""),
    ];
    send(&lens, "web", spans).await;
    send(&lens, "auth", [fail(8, "GET /", "user 8 not found")]).await;
    log(&lens, "web", 17, "no disk 1").await;
    log(&lens, "web", 21, "no disk 2").await;
    log(&lens, "web", 9, "fine").await;
    let overview = overview(&lens);
    assert!(!overview.errors.is_cut);
    let rows = overview.errors.rows.iter();
    let mut facts: Vec<_> = rows
        .map(|error| {
            let text = format!("{} {}: {}", error.service, error.text, error.message);
            (error.is_log, text, error.count, error.is_same)
        })
        .collect();
    facts.sort_unstable();
    let expected = [
        (false, "auth GET /: user 8 not found", 1, true),
        (false, "web GET /: timed out after 30 s", 1, true),
        // The newest of them.
        (false, "web GET /: user 3 not found", 3, true),
        (false, "web GET /users/7: ", 2, false),
        (false, "web POST /: user 5 not found", 1, true),
        (true, "web no disk 2: ", 2, false),
    ];
    assert_eq!(
        facts,
        expected.map(|(log, text, count, same)| (log, text.to_owned(), count, same))
    );
}

#[tokio::test]
async fn a_flood_of_errors_is_cut() {
    let lens = lens();
    for trace in 1..=6 {
        let spans = (1..=200).map(|id| failed(span(SpanKind::Server, trace, id, 0), "no"));
        let spans = spans.map(|span| opentelemetry_proto::tonic::trace::v1::Span {
            name: "GET /".to_owned(),
            ..span
        });
        send(&lens, "web", spans).await;
    }
    let errors = &overview(&lens).errors;
    assert!(errors.is_cut);
    assert_eq!(errors.rows.len(), 1);
    assert_eq!(errors.rows[0].count, 1_000);
}

fn map(nodes: usize, calls: &[(usize, usize)]) -> Map {
    let nodes = (0..nodes).map(|number| Node {
        kind: Kind::Service,
        name: format!("{number:03}"),
        system: String::new(),
        attribute: None,
    });
    let calls = calls.iter().map(|&(from, to)| Calls {
        from,
        to,
        count: 1,
        errors: 0,
        p50: 0,
        p95: 0,
    });
    Map {
        nodes: nodes.collect(),
        calls: calls.collect(),
        ..Map::default()
    }
}

#[test]
fn any_graph_is_drawn_and_drawn_the_same_again() {
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..40 {
        let nodes = random.usize(1..=12);
        let mut pairs: Vec<_> = (0..random.usize(1..=2 * nodes))
            .map(|_| (random.usize(..nodes), random.usize(..nodes)))
            .collect();
        pairs.push((0, nodes - 1));
        pairs.push((nodes - 1, 0));
        pairs.sort_unstable();
        pairs.dedup();
        let mut map = map(nodes, &pairs);
        for node in map.nodes.iter_mut().filter(|_| random.u8(..4) == 0) {
            node.kind = Kind::Topic;
        }
        let drawing = Drawing::new(&map).unwrap_or_else(|| panic!("round {round}: {pairs:?}"));
        let points = drawing.arrows.iter().flat_map(|arrow| &arrow.points);
        for (x, y) in points.chain(drawing.nodes.iter().flatten()) {
            assert!((0.0..=drawing.width).contains(x) && (0.0..=drawing.height).contains(y));
        }
        let again = Drawing::new(&map).unwrap();
        assert_eq!(drawing.nodes, again.nodes, "{pairs:?}");
        assert!(again.is_of(&map));
    }
    assert!(Drawing::new(&map(3, &[])).is_none());
}

#[test]
fn a_topic_that_leads_back_does_not_move_the_entry() {
    // auth, frontend and user, with a topic of auth and one of user. The frontend consumes both.
    let mut map = map(5, &[(0, 2), (0, 3), (1, 0), (2, 4), (3, 1), (4, 1)]);
    for topic in &mut map.nodes[3..] {
        topic.kind = Kind::Topic;
    }
    let drawing = Drawing::new(&map).unwrap();
    let places: Vec<f64> = drawing.nodes.iter().map(|place| place.unwrap().0).collect();
    for other in [0, 2, 3, 4] {
        assert!(places[1] < places[other], "{places:?}");
    }
    // The arrows still end at the consumer.
    for back in &drawing.arrows[4..] {
        assert!(back.points[0].0 > back.points[back.points.len() - 1].0);
    }
}

#[tokio::test]
async fn a_large_map_has_the_busiest_nodes() {
    let lens = lens();
    for number in 0..200u8 {
        let name = format!("service {number:03}");
        let parent = span(SpanKind::Client, number + 1, 1, 0);
        send(&lens, &name, [parent]).await;
        // The first ones are called most.
        let times = if number < 20 { 3 } else { 1 };
        let children = (0..times).map(|id| span(SpanKind::Server, number + 1, 10 + id, 1));
        send(
            &lens,
            &format!("service {:03}", (number + 1) % 200),
            children,
        )
        .await;
    }
    let overview = overview(&lens);
    assert_eq!(overview.map.nodes.len(), NODES);
    assert!(overview.map.calls.len() <= CALLS);
    assert_eq!(overview.map.left_out.0, 200 - NODES);
    let names: Vec<_> = overview.map.nodes.iter().map(|node| &*node.name).collect();
    assert!((0..20).all(|number| names.contains(&&*format!("service {number:03}"))));
    assert!(names.is_sorted());
    assert!(overview.drawing.is_some());
}
