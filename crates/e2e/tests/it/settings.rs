//! Compares `docs/settings.md` with the `--help` of each program, from which it is generated.

use std::{collections::BTreeMap, env, fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context as _, ensure};
use e2e::{compose::ROOT, process::binary};
use libtest_mimic::Trial;

use crate::blocking_trial;

/// The commands in the order of the page.
const COMMANDS: [&[&str]; 11] = [
    &["otelix"],
    &["user"],
    &["auth"],
    &["frontend"],
    &["lens"],
    &["loadgen"],
    &["admission"],
    &["vitals"],
    &["vitals", "startup"],
    &["preflight"],
    &["user", "health"],
];

const PATH: &str = "docs/settings.md";

const WRITE: &str = "OTELIX_WRITE=1 cargo test -p e2e --test it settings::";

pub(crate) fn trials() -> Vec<Trial> {
    let are_documented = "settings::of_every_program_are_documented";
    vec![blocking_trial(are_documented, Vec::new(), || {
        let page = page()?;
        let path = Path::new(ROOT).join(PATH);
        if env::var_os("OTELIX_WRITE").is_some() {
            return fs::write(&path, page).context("cannot write it");
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        ensure!(
            written == page,
            "{PATH} differs from --help. Write it: {WRITE}"
        );
        Ok(())
    })]
}

/// The settings of a command, by the headings of its help.
#[derive(Debug)]
struct Help {
    command: String,
    about: String,
    groups: Vec<Group>,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Group {
    heading: String,
    settings: Vec<Setting>,
}

#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct Setting {
    flag: String,
    variable: Option<String>,
    default: Option<String>,
    meaning: String,
    values: Vec<String>,
}

fn page() -> anyhow::Result<String> {
    let helps = COMMANDS
        .iter()
        .map(|command| help(command))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut users: BTreeMap<&Group, usize> = BTreeMap::new();
    for group in helps.iter().flat_map(|help| &help.groups) {
        *users.entry(group).or_default() += 1;
    }
    let is_shared = |group: &Group| users[group] > 1;

    let mut page = format!(
        "\
# Settings

Each setting is a flag and an environment variable; the flag wins. A wrong value ends the program with exit code 2 and
one line that names the setting. Groups that several programs have are at the end.

This page is made from `--help`, and a test compares them. After a change, write it anew:

```sh
{WRITE}
```
"
    );
    for help in &helps {
        let Help {
            command,
            about,
            groups,
        } = help;
        write!(page, "\n## {command}\n\n{about}.\n")?;
        let shared = groups.iter().filter(|group| is_shared(group));
        let shared: Vec<_> = shared
            .map(|Group { heading, .. }| format!("[{heading}](#{})", anchor(heading)))
            .collect();
        if !shared.is_empty() {
            writeln!(page, "Also: {}.", shared.join(", "))?;
        }
        for group in groups.iter().filter(|group| !is_shared(group)) {
            if group.heading != "Options" {
                write!(page, "\n### {command}: {}\n", group.heading)?;
            }
            table(&mut page, group)?;
        }
    }
    let mut written = Vec::new();
    for group in helps.iter().flat_map(|help| &help.groups) {
        if is_shared(group) && !written.contains(&group) {
            write!(page, "\n## {}\n", group.heading)?;
            table(&mut page, group)?;
            written.push(group);
        }
    }
    Ok(page)
}

fn table(page: &mut String, group: &Group) -> anyhow::Result<()> {
    write!(
        page,
        "\n| flag | variable | default | meaning |\n|---|---|---|---|\n"
    )?;
    for setting in &group.settings {
        let code = |text: &Option<String>| {
            let text = text.as_ref().filter(|text| !text.is_empty());
            text.map(|text| format!("`{text}`")).unwrap_or_default()
        };
        let mut meaning = setting.meaning.clone();
        if !setting.values.is_empty() {
            write!(meaning, ". Values: {}", setting.values.join("; "))?;
        }
        let cells = [
            format!("`{}`", setting.flag),
            code(&setting.variable),
            code(&setting.default),
            meaning,
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        writeln!(page, "| {} |", cells.join(" | ").replace("  ", " "))?;
    }
    Ok(())
}

/// The anchor of a heading in Markdown viewers.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

fn help(command: &[&str]) -> anyhow::Result<Help> {
    let (program, rest) = command.split_first().context("no program")?;
    let output = Command::new(binary(program)?)
        .args(rest)
        .arg("--help")
        // The help shows the values of variables.
        .env_clear()
        .output()?;
    ensure!(output.status.success(), "{program}: {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    if rest.is_empty() {
        ensure!(
            text.contains("\nExamples:\n"),
            "{program} --help has no examples"
        );
    }
    let mut groups = groups(&text);
    if rest == ["health"] {
        // The address of the process, whose default differs between the programs.
        for group in &mut groups {
            group.settings.retain(|setting| setting.variable.is_none());
        }
    }
    let about = text.lines().next().unwrap_or_default();
    Ok(Help {
        // All programs have the same `health` subcommand.
        command: command.join(" ").replace("user health", "PROGRAM health"),
        about: about.to_owned(),
        groups,
    })
}

/// Parses the settings in a help text. Headings of groups have no indentation, flags have six spaces before them, and
/// descriptions ten.
fn groups(text: &str) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut is_option = false;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let trimmed = line.trim();
        if trimmed.is_empty() {
            continue;
        }
        if indent == 0 {
            is_option = false;
            if let Some(heading) = trimmed.strip_suffix(':') {
                groups.push(Group {
                    heading: heading.to_owned(),
                    settings: Vec::new(),
                });
            }
            continue;
        }
        let Some(group) = groups.last_mut() else {
            continue;
        };
        if indent == 6 && trimmed.starts_with("--") {
            is_option = true;
            let (flag, meaning) = trimmed.split_once("  ").unwrap_or((trimmed, ""));
            group.settings.push(Setting {
                flag: flag.to_owned(),
                ..Setting::default()
            });
            add(group.settings.last_mut(), meaning);
        } else if indent < 10 {
            is_option = false; // --help and --version
        } else if is_option {
            add(group.settings.last_mut(), trimmed);
        }
    }
    groups.retain(|group| !group.settings.is_empty());
    groups
}

/// Adds a line to the description of a setting.
fn add(setting: Option<&mut Setting>, line: &str) {
    let Some(setting) = setting else {
        return;
    };
    if let Some(value) = line.strip_prefix("- ") {
        let (name, text) = value.split_once(':').unwrap_or((value, ""));
        let text = text.trim();
        setting.values.push(if text.is_empty() {
            format!("`{name}`")
        } else {
            format!("`{name}` ({text})")
        });
        return;
    }
    let mut text = line.trim_end_matches("Possible values:").trim();
    while let Some((before, note)) = text
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once('['))
    {
        match note.split_once(": ") {
            Some(("env", variable)) => {
                let name = variable.split('=').next().unwrap_or_default();
                setting.variable = Some(name.to_owned());
            }
            Some(("default", value)) => setting.default = Some(value.to_owned()),
            Some(("possible values", values)) => {
                let values = values.split(", ").map(|value| format!("`{value}`"));
                setting.values.extend(values);
            }
            _ => break,
        }
        text = before.trim();
    }
    if !text.is_empty() {
        if !setting.meaning.is_empty() {
            setting.meaning.push(' ');
        }
        setting.meaning.push_str(text);
    }
}
