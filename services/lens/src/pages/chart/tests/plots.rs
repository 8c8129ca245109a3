use maud::html;
use scraper::{Html, Selector};

use super::{super::*, SECOND, START};

fn count(page: &str, selector: &str) -> usize {
    let page = Html::parse_fragment(page);
    page.select(&Selector::parse(selector).unwrap()).count()
}

fn chart(values: &[f64]) -> Plot {
    let unit = Unit::new("s");
    let scale = Scale::from_zero(values.iter().copied(), &unit);
    Plot::new(Period::new(START, START + 100 * SECOND), scale, unit)
}

#[test]
fn lines_have_gaps() {
    let points = |values: &[Option<f64>]| {
        let points = (0..).zip(values);
        let points = points.map(|(index, value)| (START + index * 10 * SECOND, *value));
        points.collect::<Vec<_>>()
    };
    let values = [
        Some(1.0),
        Some(2.0),
        None,
        Some(3.0),
        None,
        Some(f64::NAN),
        Some(4.0),
    ];
    let page = chart(&[4.0])
        .line(Tone::Series(0), points(&values))
        .figure("A line");
    let page = page.into_string();
    assert!(page.contains("M0 7500L1000 5000\""), "{page}");
    // Two lone points.
    assert_eq!(count(&page, "circle.point"), 2);

    let page = chart(&[4.0]).steps(Tone::Series(0), points(&[Some(1.0), Some(2.0)]));
    assert!(
        page.figure("Steps")
            .into_string()
            .contains("M0 7500H1000V5000\"")
    );
    let page = chart(&[4.0]).area(Tone::Series(0), points(&[Some(1.0), Some(2.0)]));
    assert!(
        page.figure("Area")
            .into_string()
            .contains("L1000 10000L0 10000Z\"")
    );
    let page = chart(&[])
        .line(Tone::Series(0), points(&[None, None]))
        .figure("Nothing");
    assert_eq!(count(&page.into_string(), "path"), 0);
}

#[test]
fn long_lines_keep_their_peaks() {
    let points = (0..100_000).map(|index| {
        let value = if index == 50_001 { 4.0 } else { 1.0 };
        (START + index * 1_000_000, Some(value))
    });
    let page = chart(&[4.0])
        .line(Tone::Series(0), points)
        .figure("A long line")
        .into_string();
    assert!(page.len() < 60_000, "{}", page.len());
    assert!(page.contains(" 0L"));
}

#[test]
fn dots_are_links_with_titles() {
    let dot = |value, href: Option<&str>| Dot {
        time: START + 50 * SECOND,
        value,
        shape: Shape::Diamond,
        tone: Tone::Bad,
        title: "GET </title><script> \u{202e}".to_owned(),
        href: href.map(str::to_owned),
    };
    let dots = [
        dot(1.0, Some("/traces/1")),
        dot(2.0, None),
        dot(f64::NAN, None),
    ];
    let page = chart(&[4.0]).dots(dots).figure("Dots").into_string();
    assert_eq!(
        count(
            &page,
            "a[href='/traces/1'][tabindex='-1'] g.mark.wrong title"
        ),
        1
    );
    assert_eq!(count(&page, "g.mark rect.diamond"), 2);
    assert_eq!(count(&page, "script"), 0);
    // Links inside an image are not announced.
    assert_eq!(count(&page, "svg[role='group']"), 1);
    let page = chart(&[4.0])
        .dots([dot(1.0, None)])
        .figure("Dots")
        .into_string();
    assert_eq!(count(&page, "svg[role='img'][aria-label='Dots']"), 1);
    let outside = Dot {
        time: START - 1,
        ..dot(1.0, None)
    };
    let page = chart(&[4.0]).dots([outside]).figure("Dots").into_string();
    assert_eq!(count(&page, "g.mark"), 0);
}

#[test]
fn bars_are_stacked() {
    let bar = Bar {
        from: START,
        to: START + 10 * SECOND,
        parts: vec![
            (Tone::Series(0), 9_999.0),
            (Tone::Warning, 0.0),
            (Tone::Bad, 1.0),
        ],
        title: "10,000 records".to_owned(),
        href: Some("/logs".to_owned()),
    };
    let page = chart(&[10_000.0])
        .bars([bar])
        .figure("Levels")
        .into_string();
    assert_eq!(count(&page, "rect.part"), 2);
    // One record among 10,000 has a height.
    assert_eq!(count(&page, "rect.part.wrong[height='1.5%']"), 1);
    assert_eq!(
        count(&page, "a[href='/logs'] rect.slice[width='10%'] title"),
        1
    );
}

#[test]
fn cells_have_ten_colours() {
    let rows: Vec<_> = (0..20)
        .map(|row| (f64::from(row), f64::from(row + 1)))
        .collect();
    let cells: Vec<_> = rows
        .iter()
        .map(|(lower, upper)| Cell {
            from: START,
            to: START + 50 * SECOND,
            lower: *lower,
            upper: *upper,
            count: lower.exp2() - 1.0,
            title: String::new(),
        })
        .collect();
    let unit = Unit::new("s");
    let period = Period::new(START, START + 100 * SECOND);
    let page = Plot::new(period, Scale::rows(rows), unit).cells(&cells);
    let page = page.figure("Heat").into_string();
    // The first one has no value.
    assert_eq!(count(&page, "rect.heat"), 19);
    for class in plot::HEAT {
        assert!(count(&page, &format!("rect.{class}")) > 0, "{class}");
    }
}

#[test]
fn tables_have_heads() {
    let rows = [vec![html! { "03:04" }, html! { "7" }]];
    let page = table(
        "Rates as a table",
        &[Head::Text("Time"), Head::Number("Rate")],
        rows,
    );
    let page = page.into_string();
    assert_eq!(count(&page, "details summary"), 1);
    assert_eq!(count(&page, "th[scope='col']"), 2);
    assert_eq!(count(&page, "th[scope='row']"), 1);
    assert_eq!(count(&page, "td.number"), 1);
}
