//! The tables of `docs/telemetry.md`.

use anyhow::Context as _;

const TEXT: &str = include_str!("../../../../docs/telemetry.md");

/// A metric as its row describes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) prometheus: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) unit: &'static str,
    /// The programs that export it, or `all`.
    pub(crate) from: &'static str,
    pub(crate) attributes: &'static str,
    pub(crate) meaning: &'static str,
    /// `DASHBOARD, DASHBOARD: PANEL, PANEL; ...`.
    pub(crate) panels: &'static str,
}

/// The rows of all metrics.
pub(crate) fn metrics() -> anyhow::Result<Vec<Row>> {
    let (_, tables) = TEXT.split_once("\n## Metrics\n").context("no metrics")?;
    let rows = tables.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let plain = |cell: &'static str| cell.trim().trim_matches('`');
        let cells: Vec<_> = line.trim_matches('|').split('|').map(plain).collect();
        let &[
            name,
            prometheus,
            kind,
            unit,
            from,
            attributes,
            meaning,
            panels,
        ] = &cells[..]
        else {
            anyhow::bail!("not eight cells: {line}");
        };
        Ok(Row {
            name,
            prometheus,
            kind,
            unit,
            from,
            attributes,
            meaning,
            panels,
        })
    })
    .collect()
}
