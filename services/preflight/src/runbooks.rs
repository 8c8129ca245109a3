//! Converts the runbooks to HTML pages. Prometheus serves them, so that alerts can link to them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use crate::{
    config::Config,
    findings::{Findings, Problem},
    processes::Selection,
};

/// The folder of the pages in Prometheus' `--web.user-assets`, which Prometheus serves below `/user`.
const FOLDER: &str = "runbooks";

/// The style of a page: a narrow column, in the colors that the reader prefers.
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{max-width:46rem;margin:2rem auto;padding:0 1rem;font:1rem/1.5 system-ui,sans-serif}\
code{font-size:.9em}pre{overflow-x:auto}\
table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:left;vertical-align:top}";

/// Warns if Prometheus is to run and there are no runbooks.
pub(crate) fn check(config: &Config, selection: &Selection, findings: &mut Findings) {
    if selection.contains("prometheus") && !config.runbooks.is_dir() {
        findings.warnings.push(Problem {
            what: format!(
                "prometheus: the folder of the runbooks does not exist, so runbook links of alerts are broken: {}.",
                config.runbooks.display()
            ),
            remedy:
                "Start in the project's folder, or set OTELIX_RUNBOOKS to the project's folder docs/runbooks."
                    .to_owned(),
        });
    }
}

/// Writes the pages of all runbooks in a folder to another folder.
pub(crate) fn write(runbooks: &Path, target: &Path) -> anyhow::Result<()> {
    for (name, page) in pages(runbooks)? {
        let path = target.join(name);
        let folder = path.parent().context("the path has no parent folder")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, page))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// The page of each runbook, by its path in `--web.user-assets`. Empty if the folder of the runbooks does not exist.
pub(crate) fn pages(runbooks: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let mut pages = BTreeMap::new();
    let Ok(entries) = fs::read_dir(runbooks) else {
        return Ok(pages);
    };
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot read {}", runbooks.display()))?
            .path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(target) = name.and_then(target_of) else {
            continue;
        };
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        pages.insert(Path::new(FOLDER).join(target), page(&text));
    }
    Ok(pages)
}

/// The name of the page of a runbook. `None` if the file is not Markdown, or in another folder.
fn target_of(file: &str) -> Option<String> {
    match file.strip_suffix(".md")? {
        stem if stem.contains('/') => None,
        // Prometheus serves it for the folder itself.
        "README" => Some("index.html".to_owned()),
        stem => Some(format!("{stem}.html")),
    }
}

fn page(markdown: &str) -> String {
    let mut title = String::new();
    let mut is_title = false;
    // Links to files that are not runbooks become plain text.
    let mut is_text = false;
    let events =
        Parser::new_ext(markdown, Options::ENABLE_TABLES).filter_map(|event| match event {
            Event::Start(Tag::Link {
                link_type,
                dest_url,
                title,
                id,
            }) => {
                let Some(dest_url) = link(&dest_url) else {
                    is_text = true;
                    return None;
                };
                Some(Event::Start(Tag::Link {
                    link_type,
                    dest_url,
                    title,
                    id,
                }))
            }
            Event::End(TagEnd::Link) if std::mem::take(&mut is_text) => None,
            other => {
                match &other {
                    Event::Start(Tag::Heading {
                        level: HeadingLevel::H1,
                        ..
                    }) => is_title = true,
                    Event::End(TagEnd::Heading(HeadingLevel::H1)) => is_title = false,
                    Event::Text(text) | Event::Code(text) if is_title => title.push_str(text),
                    _ => {}
                }
                Some(other)
            }
        });
    let mut body = String::new();
    html::push_html(&mut body, events);

    let mut page = String::new();
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n{body}</html>\n"
    );
    page
}

/// The target of a link on a page. `None` if the target is not a page.
fn link(url: &str) -> Option<CowStr<'static>> {
    if url.starts_with("http://") || url.starts_with("https://") || url.starts_with('#') {
        return Some(url.to_owned().into());
    }
    let (file, anchor) = url
        .split_once('#')
        .map_or((url, ""), |(file, _)| (file, &url[file.len()..]));
    let target = target_of(file)?;
    Some(format!("{target}{anchor}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runbook_is_a_page_with_its_title() {
        let page = page(
            "# Disk fills: `loki`\n\n**Look** at <b>&amp;\n\n| a | b |\n|---|---|\n| c | d |\n",
        );
        assert!(page.contains("<title>Disk fills: loki</title>"), "{page}");
        assert!(
            page.contains("<h1>Disk fills: <code>loki</code></h1>"),
            "{page}"
        );
        assert!(page.contains("<strong>Look</strong>"), "{page}");
        assert!(page.contains("<td>c</td>"), "{page}");
    }

    #[test]
    fn links_to_other_files_become_text() {
        let page = page(
            "[a](other.md) [b](other.md#what) [c](README.md) [d](https://example.org) [e](../tour.md) [f](g.md)",
        );
        for link in [
            "<a href=\"other.html\">a</a>",
            "<a href=\"other.html#what\">b</a>",
            "<a href=\"index.html\">c</a>",
            "<a href=\"https://example.org\">d</a> e <a href=\"g.html\">f</a>",
        ] {
            assert!(page.contains(link), "{page}");
        }
    }

    #[test]
    fn every_runbook_of_the_project_is_a_page_and_links_to_pages() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbooks");
        let pages = pages(&folder).unwrap();
        assert!(pages.len() > 10 && pages.contains_key(Path::new("runbooks/index.html")));
        for (name, page) in &pages {
            for link in page.split("href=\"").skip(1) {
                let link = link.split('"').next().unwrap();
                let is_page = pages.contains_key(&Path::new(FOLDER).join(link));
                assert!(
                    is_page || link.starts_with("http"),
                    "{link} in {}",
                    name.display()
                );
            }
        }
    }
}
