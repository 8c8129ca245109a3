use std::fmt::Write as _;

use opentelemetry_proto::tonic::metrics::v1::Metric;

use super::{get, lens, with};
use crate::{
    Lens,
    metrics::testing::{
        CUMULATIVE, DELTA, counter, explicit_of, explicit_point, gauge, histogram, number, request,
    },
};

fn named(name: &str, metric: Metric) -> Metric {
    Metric {
        name: name.to_owned(),
        ..metric
    }
}

#[tokio::test]
async fn an_empty_list_says_what_to_do() {
    let page = get(&Lens::new(64 << 20), "/metrics").await;
    assert_eq!(page.status, 200);
    page.has("No metrics have arrived yet.");
    page.has("OTEL_EXPORTER_OTLP_ENDPOINT");
    assert_eq!(page.count("table"), 0);
}

#[tokio::test]
async fn metrics_are_listed_by_name() {
    let lens = lens(vec![
        named(
            "b.count",
            counter(CUMULATIVE, vec![number(10, 20, 5), number(10, 30, 9)]),
        ),
        named("a.size", gauge(vec![number(0, 20, 5)])),
    ]);
    let page = get(&lens, "/metrics").await;
    assert_eq!(
        page.hrefs(".metrics th a"),
        ["/metrics/a.size", "/metrics/b.count"]
    );
    let rows = page.texts(".metrics tbody tr");
    for text in ["a metric", "Gauge", "shop", "1"] {
        assert!(rows[0].contains(text), "{rows:?}");
    }
    assert_eq!(page.count("svg.spark"), 2);
}

#[tokio::test]
async fn the_newest_value_of_each_metric_has_its_unit() {
    let rate = || counter(CUMULATIVE, vec![number(10, 20, 5), number(10, 30, 10)]);
    let unit = |name: &str, unit: &str, metric: Metric| Metric {
        unit: unit.to_owned(),
        ..named(name, metric)
    };
    let histogram = histogram(
        DELTA,
        vec![explicit_point(10, 20, &explicit_of(&[1.0; 30], &[5.0]))],
    );
    let page = get(
        &lens(vec![
            unit("a", "By", rate()),
            unit("b", "1", rate()),
            unit("c", "s", rate()),
            unit("d", "{request}", rate()),
            unit("e", "By", gauge(vec![number(0, 20, 2048)])),
            unit("f", "s", histogram),
        ]),
        "/metrics",
    )
    .await;
    let newest: Vec<_> = page.texts(".metrics tbody td:nth-child(3)");
    let expected = [
        "0.5 B/s",
        "0.5/s",
        "0.5 s/s",
        "0.5 requests/s",
        "2 KiB",
        "3 values/s",
    ];
    assert_eq!(newest, expected);
    page.has("The newest value is the rate of a counter, the values per second of a histogram or summary");
}

#[tokio::test]
async fn lists_are_filtered() {
    let lens = lens(vec![
        named(
            "b.count",
            gauge(vec![with("http.route", "/a", number(0, 20, 5))]),
        ),
        named("a.size", gauge(vec![number(0, 20, 5)])),
    ]);
    for (filter, names) in [
        ("size", &["/metrics/a.size"][..]),
        ("-size", &["/metrics/b.count"]),
        ("METRIC", &["/metrics/a.size", "/metrics/b.count"]),
        ("http.route:/a", &["/metrics/b.count?q=http.route%3A%2Fa"]),
        (
            "http.route:/a count",
            &["/metrics/b.count?q=http.route%3A%2Fa"],
        ),
        ("service:other", &[]),
        // What cannot be used is said, and everything is shown.
        ("status:error", &["/metrics/a.size", "/metrics/b.count"]),
    ] {
        let query = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect::<String>();
        let page = get(&lens, &format!("/metrics?q={query}")).await;
        assert_eq!(page.hrefs(".metrics th a"), names, "{filter}");
        assert_eq!(page.count(".error"), usize::from(filter == "status:error"));
    }
    get(&lens, "/metrics?q=service:other")
        .await
        .has("No metric matches the filter.");
}

#[tokio::test]
async fn any_name_has_a_page() {
    let names = [
        ".",
        "..",
        "-",
        "a/b",
        "a b",
        "a?b#c",
        "%2F",
        "<script>",
        "\u{202e}x",
        "\u{0}",
        "é",
        "+",
    ];
    let metrics = names
        .iter()
        .map(|name| named(name, gauge(vec![number(0, 20, 5)])));
    let lens = lens(metrics.collect());
    let list = get(&lens, "/metrics").await;
    let hrefs = list.hrefs(".metrics th a");
    assert_eq!(hrefs.len(), names.len());
    for href in hrefs {
        let page = get(&lens, &href).await;
        assert_eq!(page.status, 200, "{href}");
        assert_eq!(page.count("script"), 0);
        // Its links lead to itself.
        for href in page.hrefs("nav.choice a, .series a") {
            assert_eq!(get(&lens, &href).await.status, 200, "{href}");
        }
    }
    for missing in ["/metrics/none", "/metrics/-?name=none"] {
        let page = get(&lens, missing).await;
        assert_eq!(page.status, 404);
        assert_eq!(page.count("h1"), 1);
        page.has("This metric is not stored");
    }
    assert_eq!(get(&lens, "/metrics/%ff").await.status, 404);
}

#[tokio::test]
async fn long_and_hostile_texts_are_text() {
    let long = "x".repeat(1 << 20);
    let metric = Metric {
        description: "<img src=x>\u{0}\u{202e}".repeat(10_000),
        unit: "<u>\u{202e}".to_owned(),
        ..gauge(vec![with(
            "<b>\u{7}\u{202e}",
            &format!("<script>{long}"),
            number(0, 20, 5),
        )])
    };
    let lens = lens(vec![metric, named(&long, gauge(vec![number(0, 20, 5)]))]);
    let page = get(&lens, "/metrics/m").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.count("main script, main img, main b, main u"), 0);
    assert!(page.size < 100_000, "{}", page.size);
    assert!(!page.text().contains('\u{7}'));
    let page = get(&lens, "/metrics").await;
    assert_eq!(page.count("main script, main img, main b, main u"), 0);
    // Its name is too long for a URL.
    assert_eq!(page.hrefs(".metrics th a"), ["/metrics/m"]);
    assert!(page.size < 100_000, "{}", page.size);
}

#[tokio::test]
async fn a_name_of_several_types_offers_each() {
    let size = Metric {
        unit: "By".to_owned(),
        ..gauge(vec![number(0, 20, 5)])
    };
    let none = Metric {
        unit: String::new(),
        ..gauge(vec![number(0, 20, 7)])
    };
    let count = counter(CUMULATIVE, vec![number(10, 20, 5), number(10, 30, 9)]);
    let lens = lens(vec![count, size, none]);
    let hrefs = get(&lens, "/metrics").await.hrefs(".metrics th a");
    assert_eq!(
        hrefs,
        [
            "/metrics/m?type=gauge&unit=",
            "/metrics/m?type=gauge&unit=By",
            "/metrics/m?type=counter&unit=s",
        ]
    );
    for (href, value) in hrefs.iter().zip(["7", "5 B", "9 s"]) {
        let page = get(&lens, href).await;
        page.has("This name has several types or units:");
        assert_eq!(page.texts(".series td data"), [value], "{href}");
    }
}

#[tokio::test]
async fn pages_show_the_time_that_has_points() {
    // One hour, a point each minute.
    let points = (0..60).map(|minute| number(0, 1_000_000 + minute * 60, 1));
    let lens = lens(vec![gauge(points.collect())]);
    let period = async |query: &str| {
        let page = get(&lens, &format!("/metrics/m{query}")).await;
        page.texts(".period")[0].clone()
    };
    assert_eq!(period("").await, "12 Jan 1970, 14:30:40 to 14:45:40 UTC");
    assert_eq!(
        period("?range=5m").await,
        "12 Jan 1970, 14:40:40 to 14:45:40 UTC"
    );
    assert_eq!(
        period("?range=all").await,
        "12 Jan 1970, 13:46:40 to 14:45:40 UTC"
    );
    let page = get(&lens, "/metrics/m?range=5m").await;
    assert_eq!(page.hrefs("a[rel='next']").len(), 0);
    let earlier = page.hrefs("a[rel='prev']");
    let page = get(&lens, &earlier[0]).await;
    assert_eq!(
        page.texts(".period"),
        ["12 Jan 1970, 14:35:40 to 14:40:40 UTC"]
    );
    assert_eq!(page.hrefs("a[rel='next']").len(), 1);
    // Values that are none.
    for query in [
        "?range=x&end=y",
        "?end=0",
        "?end=18446744073709551615",
        "?by=&series=x",
    ] {
        assert_eq!(get(&lens, &format!("/metrics/m{query}")).await.status, 200);
    }
}

#[tokio::test]
async fn attributes_lead_to_filters() {
    let points = ["/a", "/b c"].map(|route| with("http.route", route, number(0, 20, 5)));
    let lens = lens(vec![gauge(points.to_vec())]);
    let page = get(&lens, "/metrics/m?range=5m").await;
    let hrefs = page.hrefs(".series .attributes a");
    assert_eq!(hrefs.len(), 2);
    let page = get(&lens, &hrefs[1]).await;
    assert_eq!(page.count(".series tbody tr"), 1);
    assert_eq!(page.texts(".series .attributes a"), ["/b c"]);
    page.has("2 series, of which 1 match");
    // The time stays.
    assert_eq!(page.texts("nav.choice [aria-current]")[0], "5 min");
    let only = page.hrefs(".series td.number a");
    let page = get(&lens, &only[0]).await;
    page.has("One series alone");
    let page = get(&lens, "/metrics/m?q=service:none").await;
    page.has("No series matches the filter.");
    let page = get(&lens, "/metrics/m?q=status:error").await;
    assert_eq!(page.count(".error"), 1);
}

#[tokio::test]
async fn a_flood_of_metrics_is_cut() {
    let lens = Lens::new(64 << 20);
    let metrics = (0..2_000).map(|index| {
        let mut name = String::new();
        write!(name, "m{index:04}").unwrap();
        named(&name, gauge(vec![number(0, 20, 5)]))
    });
    lens.metrics.insert(&request(metrics.collect()));
    let page = get(&lens, "/metrics").await;
    page.has("2,000 metrics. These are the first 500: filter to see others.");
    assert_eq!(page.count(".metrics tbody tr"), 500);
    assert!(page.size < 500_000, "{}", page.size);
}
