use std::fmt;

use comfy_table::{Table, presets};

use crate::{Level, Outcome};

/// The results of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// One for each case, in the order of the run.
    pub rows: Vec<Row>,
}

/// The result of a case.
#[derive(Clone, Debug)]
pub struct Row {
    /// The id of the case.
    pub id: &'static str,
    /// What the case checks.
    pub what: &'static str,
    /// How binding it is.
    pub level: Level,
    /// The result.
    pub outcome: Outcome,
}

impl Report {
    /// Whether no required case failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failed(Level::Required).next().is_none()
    }

    /// The failed cases of a level.
    pub fn failed(&self, level: Level) -> impl Iterator<Item = &Row> {
        let failed = |row: &&Row| matches!(row.outcome, Outcome::Failed(_));
        self.rows
            .iter()
            .filter(move |row| row.level == level)
            .filter(failed)
    }

    /// A table for a Markdown document.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut lines = vec!["| case | checks | level | result |".to_owned()];
        lines.push("|---|---|---|---|".to_owned());
        lines.extend(self.rows.iter().map(|row| {
            let result = row.outcome.to_string().replace('|', "\\|");
            format!("| {} | {} | {} | {result} |", row.id, row.what, row.level)
        }));
        lines.push(String::new());
        lines.push(self.summary());
        lines.join("\n")
    }

    fn summary(&self) -> String {
        let count = |level: Level| {
            let rows = self.rows.iter().filter(|row| row.level == level);
            let of = |wanted: fn(&Outcome) -> bool| {
                rows.clone().filter(|row| wanted(&row.outcome)).count()
            };
            format!(
                "{level}: {} passed, {} failed, {} skipped",
                of(|outcome| matches!(outcome, Outcome::Passed)),
                of(|outcome| matches!(outcome, Outcome::Failed(_))),
                of(|outcome| matches!(outcome, Outcome::Skipped(_))),
            )
        };
        [Level::Required, Level::Recommended, Level::Choice]
            .map(count)
            .join("; ")
    }
}

/// The table for a terminal.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_header(["case", "checks", "level", "result"]);
        for row in &self.rows {
            table.add_row([
                row.id.to_owned(),
                row.what.to_owned(),
                row.level.to_string(),
                row.outcome.to_string(),
            ]);
        }
        for line in table.lines() {
            writeln!(f, "{}", line.trim_end())?;
        }
        write!(f, "\n{}", self.summary())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed(reason) => write!(f, "failed: {}", short(reason)),
            Self::Skipped(reason) => write!(f, "skipped: {}", short(reason)),
        }
    }
}

/// The first 160 characters, in one line.
fn short(reason: &str) -> String {
    let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
