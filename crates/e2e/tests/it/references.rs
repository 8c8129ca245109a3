//! Tests of the links in the documents of the repository.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use e2e::compose::ROOT;
use libtest_mimic::Trial;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::{files, trial};

/// The folders with documents.
const FOLDERS: &[&str] = &[".", "crates/exemplars", "docs", "docs/runbooks", "nix"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "references::each_link_of_a_document_leads_to_a_file_and_a_heading",
        async || links(),
    )]
}

/// A document in Markdown.
#[derive(Debug, Default)]
struct Document {
    /// The fragments that lead to its headings.
    fragments: BTreeSet<String>,
    /// The targets of links and images.
    targets: Vec<String>,
}

fn links() -> anyhow::Result<()> {
    let mut documents = BTreeMap::new();
    for folder in FOLDERS {
        for path in files(folder, "md")? {
            let text = fs::read_to_string(&path)?;
            documents.insert(path.canonicalize()?, document(&text));
        }
    }
    let mut wrong = Vec::new();
    for (path, document) in &documents {
        for target in &document.targets {
            if let Err(error) = check(path, target, &documents) {
                wrong.push(format!("{}: {target}: {error:#}", path.display()));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn check(from: &Path, target: &str, documents: &BTreeMap<PathBuf, Document>) -> anyhow::Result<()> {
    // Targets elsewhere need a network.
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => from.to_owned(),
        file => from
            .parent()
            .context("no folder")?
            .join(file)
            .canonicalize()
            .context("no such file")?,
    };
    ensure!(
        path.starts_with(Path::new(ROOT).canonicalize()?),
        "outside of the repository"
    );
    if fragment.is_empty() {
        return Ok(());
    }
    let document = documents.get(&path).context("a fragment of no document")?;
    ensure!(document.fragments.contains(fragment), "no such heading");
    Ok(())
}

fn document(text: &str) -> Document {
    let mut document = Document::default();
    let mut heading = None::<String>;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let fragment = fragment(&heading.take().unwrap_or_default());
                let mut unique = fragment.clone();
                let mut number = 0;
                while !document.fragments.insert(unique.clone()) {
                    number += 1;
                    unique = format!("{fragment}-{number}");
                }
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                document.targets.push(dest_url.into_string());
            }
            // Pictures for light and dark pages.
            Event::Html(html) | Event::InlineHtml(html) => {
                for attribute in ["src=\"", "srcset=\""] {
                    let values = html.split(attribute).skip(1);
                    let targets = values.filter_map(|rest| rest.split_once('"'));
                    let targets = targets.map(|(target, _)| target.to_owned());
                    document.targets.extend(targets);
                }
            }
            _ => {}
        }
    }
    document
}

/// The fragment of a heading, as GitHub makes it.
fn fragment(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'))
        .map(|char| if char == ' ' { '-' } else { char })
        .collect()
}
