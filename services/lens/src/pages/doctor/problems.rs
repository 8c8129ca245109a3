//! Problems that were found, and what to do about each.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use crate::{
    Lens, Service, clock,
    findings::{Finding, Findings, Trouble},
    pages::{format, links, overview::plural, text},
    params::Params,
    query::{Condition, Filter, Operator, Term},
};

/// Maximum number of problems that are shown.
const SHOWN: usize = 50;

/// Maximum number of services that one problem names.
const NAMES: usize = 10;

/// What to do about a clock that is ahead.
const AHEAD: &str = "Synchronise the clock of its machine, for instance with NTP, or correct code that sets times \
                     itself. Charts leave such records out if there are others.";

/// A problem and its remedy.
pub(super) struct Problem {
    title: Markup,
    remedy: &'static str,
    example: Option<String>,
}

pub(super) fn section(lens: &Lens, findings: &Findings) -> Markup {
    let services = lens.doctor.services();
    let mut problems: Vec<Problem> = findings.list.iter().map(of_traces).collect();
    problems.extend(of_clocks(lens, findings));
    problems.extend(of_senders(&services));
    problems.extend(of_store(lens));
    let more = problems.len().saturating_sub(SHOWN);
    html! {
        section aria-labelledby="problems" {
            h2 #problems { "Problems" }
            @if problems.is_empty() {
                p.aside { "No problem was found." }
            } @else {
                ul.card.problems {
                    @for problem in problems.iter().take(SHOWN) {
                        li {
                            p.title {
                                (problem.title)
                                @if let Some(href) = &problem.example { " " a href=(href) { "An example" } "." }
                            }
                            p.hint { (problem.remedy) }
                        }
                    }
                }
                @if more > 0 { p.hint { "And " (format::count(more as u64)) " more." } }
            }
            p.hint {
                "From the newest " (plural(findings.traces as u64, "trace", "traces")) " with "
                (plural(findings.spans as u64, "span", "spans"))
                ". Traces of the last 10 s are left out, because their spans may still be under way. "
                "Lens takes no TLS: senders need http:// instead of https://, or the setting for an insecure connection."
            }
        }
    }
}

fn of_traces(finding: &Finding) -> Problem {
    let count = plural(finding.count, "span", "spans");
    let service = named(&finding.service);
    let most = format::duration(finding.most);
    let (title, remedy) = match finding.trouble {
        Trouble::Orphan => (
            html! { "Parents are missing in traces of " (service) ": " (count) " that name one are without it." },
            "The parent may be of a service that sends no spans to lens, or was not sampled, or was lost before it was \
             sent. Send all services to lens, use a parent-based sampler, and flush at the end of a process.",
        ),
        Trouble::Skew => (
            html! {
                "The clocks of " (named(&finding.parent)) " and " (service) " differ by at least " (most) ": "
                (count) " start before their parent in the other service."
            },
            "Synchronise the clocks of the two machines, for instance with NTP. Containers and virtual machines drift \
             after a pause.",
        ),
        Trouble::Ahead => (
            html! { "The clock of " (service) " is ahead by up to " (most) ": it sent " (count) " with a start or an end in the future." },
            AHEAD,
        ),
        Trouble::EndsEarly => (
            html! { (count) " of " (service) " end before they start, by up to " (most) "." },
            "The clock was set back while the span ran, or start and end come from different clocks. SDKs use a \
             monotonic clock for the end: check code that sets times itself.",
        ),
        Trouble::NoEnd => (
            html! { (count) " of " (service) " have no end." },
            "The span was exported before it ended, or its end was not set. Check code that builds spans itself.",
        ),
        Trouble::NoStart => (
            html! { (count) " of " (service) " have no start." },
            "Such spans have no place in time. Check code that builds spans itself.",
        ),
        Trouble::OwnParent => (
            html! { (count) " of " (service) " are their own parent." },
            "The id of the span was copied into the id of the parent. Check code that builds spans itself.",
        ),
    };
    let (trace, span) = finding.example;
    Problem {
        title,
        remedy,
        example: Some(links::span(trace, Some(span))),
    }
}

/// Senders of log records and points alone whose clocks are ahead. Spans name the others.
fn of_clocks(lens: &Lens, findings: &Findings) -> Vec<Problem> {
    let (now, future) = (clock::now(), clock::future());
    let mut logs: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let later = lens.store.logs_in(future..u64::MAX);
    for log in later.iter() {
        let found = match logs.get_mut(log.service) {
            Some(found) => found,
            None => logs.entry(log.service.to_owned()).or_default(),
        };
        *found = (found.0 + 1, found.1.max(log.time));
    }
    let points = lens.metrics.ahead();
    let is_named = |service: &str| {
        let mut found = findings.list.iter();
        found.any(|found| found.trouble == Trouble::Ahead && found.service == service)
    };
    let services: BTreeSet<&String> = logs.keys().chain(points.keys()).collect();
    let services = services.into_iter().filter(|service| !is_named(service));
    let problems = services.map(|service| {
        let of = |all: &BTreeMap<String, (u64, u64)>| all.get(service).copied().unwrap_or_default();
        let (records, points) = (of(&logs), of(&points));
        let most = records.1.max(points.1).saturating_sub(now);
        let example = Filter::from(vec![Term::is(Condition::Service(
            Operator::Equal,
            service.clone(),
        ))]);
        let example = Params::default().with("q", example).with("from", future);
        Problem {
            title: html! {
                "The clock of " (named(service)) " is ahead by up to " (format::duration(most)) ": it sent "
                @if records.0 > 0 { (plural(records.0, "log record", "log records")) }
                @if records.0 > 0 && points.0 > 0 { " and " }
                @if points.0 > 0 { (plural(points.0, "data point", "data points")) }
                " with a time in the future."
            },
            remedy: AHEAD,
            example: (records.0 > 0).then(|| example.href("/logs")),
        }
    });
    problems.collect()
}

pub(super) fn of_senders(services: &[Service]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let unnamed = services
        .iter()
        .filter(|service| service.name.is_empty() || service.name.starts_with("unknown_service"))
        .count();
    if unnamed > 0 {
        let senders = plural(unnamed as u64, "sender has", "senders have");
        problems.push(Problem {
            title: html! { (senders) " no service.name, or only the SDK's default." },
            remedy: "Set OTEL_SERVICE_NAME for each service. Without it, their telemetry is mixed up.",
            example: None,
        });
    }
    // Services of one process have one instance id. A part of it, such as the runtime, may have metrics alone.
    let mut processes: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for service in services {
        add(
            processes.entry(&service.instance).or_default(),
            service.counts(),
        );
    }
    // Instances of one service send the same signals.
    let mut totals: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for service in services.iter().filter(|service| !service.name.is_empty()) {
        let process = processes.get(service.instance.as_str());
        let process = process.filter(|_| !service.instance.is_empty());
        let counts = process.copied().unwrap_or_else(|| service.counts());
        add(totals.entry(&service.name).or_default(), counts);
    }
    let mut silent: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for (name, total) in totals {
        let signals = total.iter().zip(["spans", "log records", "metrics"]);
        let missing: Vec<_> = signals
            .filter_map(|(count, signal)| (*count == 0).then_some(signal))
            .collect();
        if !missing.is_empty() {
            silent.entry(missing).or_default().push(name);
        }
    }
    for (missing, names) in silent {
        let more = names.len().saturating_sub(NAMES);
        let verb = if names.len() == 1 { " sends" } else { " send" };
        problems.push(Problem {
            title: html! {
                @for (place, name) in names.iter().take(NAMES).enumerate() {
                    @if place > 0 { ", " }
                    (named(name))
                }
                @if more > 0 { " and " (plural(more as u64, "other", "others")) }
                (verb) " no " (missing.join(" and no ")) "."
            },
            remedy: "If they should, check OTEL_TRACES_EXPORTER, OTEL_LOGS_EXPORTER and OTEL_METRICS_EXPORTER, and \
                     whether the endpoint is set for one signal only.",
            example: None,
        });
    }
    problems
}

fn add(total: &mut [u64; 3], counts: [u64; 3]) {
    for (total, count) in total.iter_mut().zip(counts) {
        *total += count;
    }
}

fn of_store(lens: &Lens) -> Vec<Problem> {
    let mut problems = Vec::new();
    let duplicates = lens.doctor.duplicates();
    if duplicates > 0 {
        problems.push(Problem {
            title: html! { (plural(duplicates, "span", "spans")) " arrived again. Each is stored once." },
            remedy: "A sender repeats a request if the answer is late or lost. If there are many, look for two \
                     exporters in one service, or a collector that exports twice.",
            example: None,
        });
    }
    if let Some((count, (trace, span))) = lens.doctor.conflicts() {
        problems.push(Problem {
            title: html! {
                (plural(count, "span has", "spans have")) " the trace id and the span id of another span, and "
                (if count == 1 { "is" } else { "are" }) " not stored: the content or the service differs."
            },
            remedy: "Span ids must be unique in a trace. Check code that sets ids itself, and processes that are forked \
                     after the generator of ids has its seed. A span that is sent before it ends and then again has the \
                     same effect, and so has a collector that changes spans on one of two ways.",
            example: Some(links::span(trace, Some(span))),
        });
    }
    let usage = lens.metrics.usage();
    if usage.rejected_points > 0 {
        problems.push(Problem {
            title: html! { (plural(usage.rejected_points, "data point was", "data points were")) " rejected." },
            remedy: "The list of what was refused has the reasons. If the limit of series is reached, remove \
                     attributes with many values with a view.",
            example: None,
        });
    }
    if usage.evicted_series > 0 {
        problems.push(Problem {
            title: html! { (plural(usage.evicted_series, "series was", "series were")) " evicted to make room for new ones." },
            remedy: "Remove attributes with many values, or give lens more memory with LENS_MEMORY.",
            example: None,
        });
    }
    problems
}

fn named(name: &str) -> Markup {
    html! { strong { (text::name(name, "a service without a name")) } }
}
