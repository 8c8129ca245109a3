//! What the checks find.

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// With one of these, nothing starts.
    pub(crate) problems: Vec<Problem>,
    /// Everything starts, but.
    pub(crate) warnings: Vec<Problem>,
}

/// What is wrong, and what to do.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    /// One line.
    pub(crate) what: String,
    /// One line.
    pub(crate) remedy: String,
}
