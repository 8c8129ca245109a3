//! The results of the checks.

/// The results of the checks.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Problems that prevent a start.
    pub(crate) problems: Vec<Problem>,
    /// Problems that do not prevent a start.
    pub(crate) warnings: Vec<Problem>,
}

/// A problem and its remedy.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    /// The problem, in one line.
    pub(crate) what: String,
    /// What to do, in one line.
    pub(crate) remedy: String,
}
