//! Paths of lines.

use super::{Period, Scale};

/// Size of a path's coordinates.
pub(super) const SIZE: f64 = 10_000.0;

/// Number of columns of a line in which its highest and lowest points are kept.
const COLUMNS: usize = 800;

/// The places of points between gaps: from the left and from the top.
pub(super) fn runs(
    period: Period,
    scale: &Scale,
    points: impl IntoIterator<Item = (u64, Option<f64>)>,
) -> Vec<Vec<(f64, f64)>> {
    let mut runs = vec![Vec::new()];
    for (time, value) in points {
        let value = value.filter(|value| value.is_finite());
        let place = value.and_then(|value| scale.place(value));
        let place = place.filter(|_| period.contains(time));
        match (place, runs.last_mut()) {
            (Some(place), Some(run)) => run.push((period.place(time), 1.0 - place)),
            (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            _ => {}
        }
    }
    runs.retain(|run| !run.is_empty());
    for run in &mut runs {
        if run.len() > 4 * COLUMNS {
            *run = thin(run);
        }
    }
    runs
}

/// A line through the points. A single point has none.
pub(super) fn straight(run: &[(f64, f64)]) -> String {
    if run.len() == 1 {
        return String::new();
    }
    let points = run.iter().enumerate().map(|(index, (x, y))| {
        let command = if index == 0 { 'M' } else { 'L' };
        format!("{command}{} {}", coordinate(*x), coordinate(*y))
    });
    points.collect()
}

/// A line that keeps each value until the next point.
pub(super) fn stairs(run: &[(f64, f64)]) -> String {
    if run.len() == 1 {
        return String::new();
    }
    let points = run.iter().enumerate().map(|(index, (x, y))| {
        let (x, y) = (coordinate(*x), coordinate(*y));
        match index {
            0 => format!("M{x} {y}"),
            _ => format!("H{x}V{y}"),
        }
    });
    points.collect()
}

/// The first, highest, lowest and last point of each column.
fn thin(run: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let column = |point: &(f64, f64)| (point.0 * COLUMNS as f64) as usize;
    let mut kept = Vec::with_capacity(4 * COLUMNS);
    for points in run.chunk_by(|one, other| column(one) == column(other)) {
        let by_height = |one: &&(f64, f64), other: &&(f64, f64)| one.1.total_cmp(&other.1);
        let mut some = vec![points.first(), points.last()];
        some.push(points.iter().min_by(by_height));
        some.push(points.iter().max_by(by_height));
        let mut some: Vec<_> = some.into_iter().flatten().copied().collect();
        some.sort_by(|one, other| one.0.total_cmp(&other.0));
        some.dedup();
        kept.extend(some);
    }
    kept
}

pub(super) fn coordinate(place: f64) -> i64 {
    (place * SIZE).round() as i64
}

pub(super) fn percent(place: f64) -> String {
    format!("{}%", (place * 10_000.0).round() / 100.0)
}
