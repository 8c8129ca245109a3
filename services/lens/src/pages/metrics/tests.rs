mod exemplars;
mod histograms;
mod list;
mod numbers;
mod sdks;

use std::sync::Arc;

use axum::{body, body::Body, http::Request};
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use scraper::{ElementRef, Html, Selector};
use tower::ServiceExt as _;

use super::super::routes;
use crate::{
    Lens,
    metrics::testing::{attribute, request},
};

/// No value was recorded.
const NO_VALUE: u32 = 1;

/// A page, and its status code.
struct Page {
    status: u16,
    size: usize,
    html: Html,
}

fn lens(metrics: Vec<Metric>) -> Arc<Lens> {
    let lens = Lens::new(256 << 20);
    let inserted = lens.metrics.insert(&request(metrics));
    assert_eq!(inserted.rejected, 0, "{}", inserted.message);
    lens
}

async fn get(lens: &Arc<Lens>, uri: &str) -> Page {
    let router = routes().with_state(Arc::clone(lens));
    let request = Request::get(uri).body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let text = body::to_bytes(response.into_body(), 64 << 20)
        .await
        .unwrap();
    Page {
        status,
        size: text.len(),
        html: Html::parse_document(std::str::from_utf8(&text).unwrap()),
    }
}

/// The page of the metric `m`.
async fn show(metrics: Vec<Metric>) -> Page {
    get(&lens(metrics), "/metrics/m").await
}

impl Page {
    fn all(&self, selector: &str) -> Vec<ElementRef<'_>> {
        self.html
            .select(&Selector::parse(selector).unwrap())
            .collect()
    }

    fn count(&self, selector: &str) -> usize {
        self.all(selector).len()
    }

    fn texts(&self, selector: &str) -> Vec<String> {
        let found = self.all(selector).into_iter();
        found.map(|one| one.text().collect::<String>()).collect()
    }

    fn text(&self) -> String {
        self.texts("main").concat()
    }

    fn hrefs(&self, selector: &str) -> Vec<String> {
        let found = self.all(selector).into_iter();
        found
            .filter_map(|one| one.attr("href").map(str::to_owned))
            .collect()
    }

    /// The charts by their title.
    fn charts(&self) -> Vec<String> {
        self.texts(".charts h2")
    }

    /// The rows of the table of a chart.
    fn rows(&self, chart: &str) -> Vec<Vec<String>> {
        let tables = self.all("details.data").into_iter();
        let rows = Selector::parse("tbody tr").unwrap();
        let cells = Selector::parse("th, td").unwrap();
        let summary = format!("{chart} as a table");
        let mut tables = tables.filter(|one| one.text().next() == Some(&*summary));
        let table = tables
            .next()
            .unwrap_or_else(|| panic!("no table of {chart}"));
        let rows = table.select(&rows);
        rows.map(|row| {
            row.select(&cells)
                .map(|cell| cell.text().collect())
                .collect()
        })
        .collect()
    }

    #[track_caller]
    fn has(&self, text: &str) {
        let page = self.text();
        assert!(page.contains(text), "{text} is not in {page}");
    }
}

fn with(key: &str, value: &str, point: NumberDataPoint) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![attribute(key, value)],
        ..point
    }
}
