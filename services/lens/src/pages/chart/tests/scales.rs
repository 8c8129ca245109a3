use scraper::Html;

use super::{
    super::{Period, Scale, Unit},
    SECOND, START,
};

fn ticks(scale: &Scale, unit: &str) -> Vec<String> {
    let unit = Unit::new(unit);
    scale.ticks(&unit).map(|(_, text)| text).collect()
}

fn from_zero(values: &[f64], unit: &str) -> Vec<String> {
    let scale = Scale::from_zero(values.iter().copied(), &Unit::new(unit));
    ticks(&scale, unit)
}

fn log(values: &[f64], unit: &str) -> Vec<String> {
    let scale = Scale::log(values.iter().copied(), &Unit::new(unit));
    ticks(&scale, unit)
}

fn times(from: u64, length: u64) -> Vec<String> {
    let ticks = Period::new(from, from + length).ticks();
    ticks.into_iter().map(|(_, text)| text).collect()
}

#[test]
fn values_have_units_for_people() {
    for (code, value, text) in [
        ("s", 0.012, "12 ms"),
        ("s", 0.0, "0 s"),
        ("s", -0.5, "-500 ms"),
        ("s", 59.99, "1 min"),
        ("s", 125.0, "2 min 5 s"),
        ("s", 3_600.0, "1 h"),
        ("s", 90_061.0, "1 d 1 h"),
        ("ms", 1_234.0, "1.23 s"),
        ("ns", 999_600.0, "1 ms"),
        ("us", 12.0, "12 µs"),
        ("s", 1e-15, "1e-15 s"),
        ("s", 1e30, "1e30 s"),
        ("By", 0.0, "0 B"),
        ("By", 1_048_576.0, "1 MiB"),
        ("By", 1_023.0, "1,023 B"),
        ("KiBy", 1_536.0, "1.5 MiB"),
        ("By/s", 2_048.0, "2 KiB/s"),
        ("1", 12_345.0, "12,345"),
        ("1", 1_234_567.0, "1.23 M"),
        ("1", 0.012_345, "0.0123"),
        ("", 1e-9, "1e-9"),
        ("", 1.5e20, "1.5e20"),
        ("", f64::INFINITY, "∞"),
        ("", f64::NEG_INFINITY, "-∞"),
        ("", f64::NAN, "not a number"),
        ("%", 12.34, "12.3 %"),
        ("{request}", 1.0, "1 request"),
        ("{request}", 12.0, "12 requests"),
        ("{query}", 2.0, "2 queries"),
        ("{process}", 2.0, "2 processes"),
        ("{packets}", 2.0, "2 packets"),
        ("{}", 2.0, "2"),
        ("{packet}/s", 2.0, "2 packets/s"),
        ("Cel", 21.5, "21.5 °C"),
        ("V", 230.0, "230 V"),
        ("{a\u{202e}b\u{0}}", 2.0, "2 abs"),
    ] {
        assert_eq!(Unit::new(code).text(value), text, "{code} {value}");
    }
    assert_eq!(
        Unit::new("{request}").per_second().text(3.0),
        "3 requests/s"
    );
    assert_eq!(Unit::new("s").per_second().text(0.25), "0.25 s/s");
    assert_eq!(Unit::new("ms").per_second().text(90_000.0), "90 s/s");
    assert_eq!(Unit::new("1").per_second().text(7.0), "7/s");
    let long = Unit::new(&"x".repeat(1 << 20)).text(1.0);
    assert!(long.len() < 40, "{}", long.len());
}

#[test]
fn linear_ticks_are_round() {
    assert_eq!(from_zero(&[0.7, 3.8], ""), ["0", "1", "2", "3", "4"]);
    assert_eq!(
        from_zero(&[0.019], "s"),
        ["0 s", "5 ms", "10 ms", "15 ms", "20 ms"]
    );
    assert_eq!(
        from_zero(&[-3.0, 5.0], ""),
        ["-4", "-2", "0", "2", "4", "6"]
    );
    // Powers of two for sizes, and minutes for long times.
    assert_eq!(
        from_zero(&[3_500_000.0], "By"),
        ["0 B", "1 MiB", "2 MiB", "3 MiB", "4 MiB"]
    );
    assert_eq!(
        from_zero(&[200_000.0], "ms"),
        ["0 s", "1 min", "2 min", "3 min", "4 min"]
    );
    // The name of the things is beside the axis.
    assert_eq!(from_zero(&[4.0], "{request}"), ["0", "1", "2", "3", "4"]);
    assert_eq!(Unit::new("{request}").name().unwrap(), "requests");
}

#[test]
fn ticks_of_a_narrow_range_differ() {
    let unit = Unit::new("");
    let scale = Scale::around([1_000.5, 1_000.52], &unit);
    let texts = ticks(&scale, "");
    let mut unique = texts.clone();
    unique.dedup();
    assert_eq!(texts, unique);
    assert!(texts.contains(&"1,000.51".to_owned()), "{texts:?}");
    // A value that is near zero in comparison starts there.
    assert_eq!(ticks(&Scale::around([1.0, 4.0], &unit), "")[0], "0");
}

#[test]
fn logarithmic_ticks_are_round() {
    assert_eq!(
        log(&[0.003, 0.04], "s"),
        ["2 ms", "5 ms", "10 ms", "20 ms", "50 ms"]
    );
    assert_eq!(
        log(&[1e5, 3e9], "ns"),
        ["100 µs", "1 ms", "10 ms", "100 ms", "1 s"]
    );
    assert_eq!(
        log(&[0.5, 100_000.0], "s"),
        ["1 s", "10 s", "1 min", "10 min", "1 h", "10 h"]
    );
    assert_eq!(log(&[100.0, 5e9], "By"), ["1 KiB", "1 MiB", "1 GiB"]);
}

#[test]
fn degenerate_values_have_an_axis() {
    let huge = [f64::MAX, f64::MIN];
    let tiny = [f64::MIN_POSITIVE, 5e-324];
    let wide = [5e-324, f64::MAX];
    let strange = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let cases: [&[f64]; 12] = [
        &[],
        &[0.0],
        &[0.0, 0.0],
        &[7.0],
        &[7.0, 7.0],
        &[-7.0],
        &[1e17, 1e17 + 16.0],
        &[1.0, 1.0 + f64::EPSILON],
        &huge,
        &tiny,
        &wide,
        &strange,
    ];
    for values in cases {
        for code in ["", "s", "ns", "h", "By", "{x}"] {
            let unit = Unit::new(code);
            let values = || values.iter().copied();
            for scale in [
                Scale::from_zero(values(), &unit),
                Scale::around(values(), &unit),
                Scale::log(values(), &unit),
            ] {
                let ticks: Vec<_> = scale.ticks(&unit).collect();
                assert!((1..=13).contains(&ticks.len()), "{code} {scale:?}");
                for value in values().chain([0.0, -1.0, 1e300]) {
                    let place = scale.place(value);
                    assert_eq!(place.is_none(), value.is_nan());
                    let place = place.unwrap_or_default();
                    assert!((0.0..=1.0).contains(&place), "{value} {place} {scale:?}");
                }
            }
        }
    }
}

#[test]
fn rows_have_equal_heights() {
    let infinite = f64::INFINITY;
    let scale = Scale::rows([
        (-infinite, -1.0),
        (-1.0, 0.0),
        (0.0, 0.0),
        (1.0, 4.0),
        (4.0, infinite),
    ]);
    for (value, place) in [
        (-infinite, 0.0),
        (-5.0, 0.0),
        (-0.5, 0.3),
        (0.0, 0.4),
        // Between two rows.
        (0.5, 0.6),
        (2.0, 0.7),
        (4.0, 0.8),
        (9.0, 0.8),
    ] {
        let found = scale.place(value).unwrap();
        assert!((found - place).abs() < 1e-9, "{value} {found}");
    }
    let band = scale.band(4.0, infinite).unwrap();
    assert_eq!(band, (0.8, 1.0));
    assert!(scale.band(2.0, 3.0).is_none());
    assert!(Scale::rows([]).place(1.0).is_some());
    assert!(ticks(&scale, "").len() <= 7);
}

#[test]
fn ticks_of_time_are_round_and_utc() {
    assert_eq!(
        times(START, 300 * SECOND),
        ["03:04", "03:05", "03:06", "03:07", "03:08", "03:09"]
    );
    assert_eq!(times(START, 20 * SECOND)[1], "03:04:05");
    assert_eq!(times(START, SECOND)[1], "00.200 s");
    assert_eq!(times(START + 100_000, 10_000)[1], ".000102 s");
    assert_eq!(times(START, 90 * 86_400 * SECOND)[0], "7 Jan 2026");
    for length in [
        0,
        1,
        999,
        SECOND,
        3_600 * SECOND,
        u64::MAX / 2,
        u64::MAX - START,
    ] {
        for from in [0, 1, START] {
            let ticks = Period::new(from, from + length).ticks();
            assert!(ticks.len() <= 10, "{length} {}", ticks.len());
        }
    }
    assert!(Period::new(u64::MAX, u64::MAX).to() > Period::new(u64::MAX, u64::MAX).from());
    assert!(Period::new(5, 3).place(4) >= 0.0);
}

#[test]
fn a_period_has_a_caption() {
    let caption = |from, to| {
        let text = Period::new(from, to).caption().into_string();
        let page = Html::parse_fragment(&text);
        page.root_element().text().collect::<String>()
    };
    assert_eq!(
        caption(START, START + 60 * SECOND),
        "2 Jan 2026, 03:04:00 to 03:05:00 UTC"
    );
    assert_eq!(
        caption(START, START + SECOND / 2),
        "2 Jan 2026, 03:04:00.000 to 03:04:00.500 UTC"
    );
    assert_eq!(
        caption(START, START + 86_400 * SECOND),
        "2 Jan 2026, 03:04:00 to 3 Jan 2026, 03:04:00 UTC"
    );
    let around = Period::around([START, START + 100 * SECOND]);
    assert_eq!(around.from(), START - 2 * SECOND);
    assert_eq!(Period::around([]).from(), 0);
}
