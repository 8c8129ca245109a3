//! The layout of every page: head, header, content and footer.

use maud::{DOCTYPE, Markup, html};

use crate::assets::{self, Shared};

/// The layout of the pages of a program.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Name of the program, in the header and after the title.
    pub site: &'static str,
    /// Title of the page.
    pub title: String,
    /// URLs of the style sheets of the program and of the page. They follow the common one.
    pub styles: Vec<String>,
    /// Whether this is the start page, to which the name of the program links.
    pub is_home: bool,
    /// Whether the page has the width of the window, as charts need it.
    pub is_wide: bool,
    /// Entries of the navigation: items of a list.
    pub navigation: Markup,
    /// Content of the footer.
    pub footer: Markup,
}

impl Layout {
    /// A whole page. `content` contains the only `h1`.
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "each page builds its content for this call"
    )]
    pub fn page(&self, content: Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · " (self.site) }
                    link rel="stylesheet" href=(assets::href::<Shared>("base.css"));
                    @for style in &self.styles { link rel="stylesheet" href=(style); }
                    link rel="icon" type="image/svg+xml" href=(assets::href::<Shared>("favicon.svg"));
                }
                body.wide[self.is_wide] {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        div.bar {
                            a.brand href="/" aria-current=[current(self.is_home)] {
                                (mark()) (self.site)
                            }
                            nav aria-label="Main" { ul { (self.navigation) } }
                        }
                    }
                    main #main tabindex="-1" { (content) }
                    footer.bottom { div.foot { (self.footer) } }
                }
            }
        }
    }
}

/// The value of `aria-current` for a link.
#[must_use]
pub fn current(is_current: bool) -> Option<&'static str> {
    is_current.then_some("page")
}

/// The logo: three spans of a trace.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false" {
            rect x="2" y="4" width="12" height="4" rx="2" {}
            rect x="6" y="10" width="11" height="4" rx="2" {}
            rect x="12" y="16" width="10" height="4" rx="2" {}
        }
    }
}
