//! Tests of filters as their callers see them.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
    },
    resource::v1::Resource,
};

use super::*;
use crate::metrics::{Labels, Metrics};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn parse(text: &str) -> Filter {
    text.parse()
        .unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

fn is(condition: Condition) -> Term {
    Term::is(condition)
}

fn not(condition: Condition) -> Term {
    Term::not(condition)
}

#[test]
fn a_term_has_a_meaning_and_a_canonical_form() {
    use Condition::{
        Attribute, Duration, Kind as OfKind, Level as OfLevel, Name, Service, Status as OfStatus,
        Text, Trace, TraceDuration,
    };
    use Operator::{Contains, Equal, Greater, GreaterOrEqual, Less, LessOrEqual};

    let s = str::to_owned;
    let table = [
        (
            "service:auth",
            is(Service(Equal, s("auth"))),
            "service:auth",
        ),
        (
            "service=auth",
            is(Service(Equal, s("auth"))),
            "service:auth",
        ),
        (
            "service!=auth",
            not(Service(Equal, s("auth"))),
            "-service:auth",
        ),
        (
            "-service:auth",
            not(Service(Equal, s("auth"))),
            "-service:auth",
        ),
        (
            "-service!=auth",
            is(Service(Equal, s("auth"))),
            "service:auth",
        ),
        ("service~au", is(Service(Contains, s("au"))), "service~au"),
        ("service:\"\"", is(Service(Equal, s(""))), "service:\"\""),
        (
            "service:a-b:c",
            is(Service(Equal, s("a-b:c"))),
            "service:a-b:c",
        ),
        (
            "service:a\\b",
            is(Service(Equal, s("a\\b"))),
            "service:a\\b",
        ),
        (
            "name:\"GET /\"",
            is(Name(Equal, s("GET /"))),
            "name:\"GET /\"",
        ),
        ("name:\"GET\"", is(Name(Equal, s("GET"))), "name:GET"),
        ("name:\"=x\"", is(Name(Equal, s("=x"))), "name:\"=x\""),
        ("name:\"!x\"", is(Name(Equal, s("!x"))), "name:\"!x\""),
        (
            "name:\"a\u{a0}b\"",
            is(Name(Equal, s("a\u{a0}b"))),
            "name:\"a\u{a0}b\"",
        ),
        ("kind:Server", is(OfKind(Kind::Server)), "kind:server"),
        ("kind!=client", not(OfKind(Kind::Client)), "-kind:client"),
        ("status:error", is(OfStatus(Status::Error)), "status:error"),
        ("status:\"ok\"", is(OfStatus(Status::Ok)), "status:ok"),
        (
            "duration>200ms",
            is(Duration(Greater, 200_000_000)),
            "duration>200ms",
        ),
        (
            "duration>=1.5s",
            is(Duration(GreaterOrEqual, 1_500_000_000)),
            "duration>=1500ms",
        ),
        ("duration<7us", is(Duration(Less, 7_000)), "duration<7us"),
        (
            "duration<=7\u{b5}s",
            is(Duration(LessOrEqual, 7_000)),
            "duration<=7us",
        ),
        (
            "duration>7\u{3bc}s",
            is(Duration(Greater, 7_000)),
            "duration>7us",
        ),
        ("duration>0ms", is(Duration(Greater, 0)), "duration>0ns"),
        (
            "duration>1001ns",
            is(Duration(Greater, 1_001)),
            "duration>1001ns",
        ),
        (
            "-duration>1m",
            is(Duration(LessOrEqual, 60_000_000_000)),
            "duration<=1m",
        ),
        (
            "-duration>=1m",
            is(Duration(Less, 60_000_000_000)),
            "duration<1m",
        ),
        (
            "-duration<1m",
            is(Duration(GreaterOrEqual, 60_000_000_000)),
            "duration>=1m",
        ),
        (
            "-duration<=1m",
            is(Duration(Greater, 60_000_000_000)),
            "duration>1m",
        ),
        (
            "trace.duration>0.0000000000025h",
            is(TraceDuration(Greater, 9)),
            "trace.duration>9ns",
        ),
        (
            "trace.duration<2h",
            is(TraceDuration(Less, 7_200_000_000_000)),
            "trace.duration<2h",
        ),
        (
            "trace:0AF7651916CD43DD8448EB211C80319C",
            is(Trace(TRACE.parse().unwrap())),
            "trace:0af7651916cd43dd8448eb211c80319c",
        ),
        (
            "severity>=warn",
            is(OfLevel(GreaterOrEqual, Level::Warn)),
            "level>=warn",
        ),
        (
            "-level<ERROR",
            not(OfLevel(Less, Level::Error)),
            "-level<error",
        ),
        ("text:refused", is(Text(s("refused"))), "refused"),
        ("text!=refused", not(Text(s("refused"))), "-refused"),
        ("text~a:b", is(Text(s("a:b"))), "\"a:b\""),
        ("refused", is(Text(s("refused"))), "refused"),
        ("-refused", not(Text(s("refused"))), "-refused"),
        ("--refused", not(Text(s("-refused"))), "-\"-refused\""),
        ("\"-refused\"", is(Text(s("-refused"))), "\"-refused\""),
        ("service", is(Text(s("service"))), "service"),
        (
            r#""say \"a\\b\"""#,
            is(Text(s(r#"say "a\b""#))),
            r#""say \"a\\b\"""#,
        ),
        (
            "http.route:/login",
            is(Attribute(s("http.route"), Equal, s("/login"))),
            "http.route:/login",
        ),
        (
            "http.status_code>=500",
            is(Attribute(s("http.status_code"), GreaterOrEqual, s("500"))),
            "http.status_code>=500",
        ),
        (
            "url.full~a=b",
            is(Attribute(s("url.full"), Contains, s("a=b"))),
            "url.full~a=b",
        ),
        (
            "\"env\":prod",
            is(Attribute(s("env"), Equal, s("prod"))),
            "\"env\":prod",
        ),
        (
            "\"service\":a",
            is(Attribute(s("service"), Equal, s("a"))),
            "\"service\":a",
        ),
        (
            "\"trace.duration\":a",
            is(Attribute(s("trace.duration"), Equal, s("a"))),
            "\"trace.duration\":a",
        ),
        ("\"a.b\":c", is(Attribute(s("a.b"), Equal, s("c"))), "a.b:c"),
        ("\"\":c", is(Attribute(s(""), Equal, s("c"))), "\"\":c"),
    ];
    for (text, term, canonical) in table {
        let filter = parse(text);
        assert_eq!(filter.terms(), [term], "{text}");
        assert_eq!(filter.to_string(), canonical, "{text}");
        assert_eq!(parse(canonical), filter, "{text}");
    }
}

#[test]
fn terms_are_separated_by_spaces() {
    let text =
        "  service:auth\tduration>200ms\nstatus:error   http.route:/login \"two words\" -\"b c\" ";
    let filter = parse(text);
    assert_eq!(
        filter.to_string(),
        "service:auth duration>200ms status:error http.route:/login \"two words\" -\"b c\""
    );
    assert_eq!(filter.terms().len(), 6);
    assert_eq!(parse(" \n"), Filter::default());
    assert_eq!(Filter::default().to_string(), "");
}

#[test]
fn each_error_has_its_position_and_says_what_is_right() {
    let table = [
        (
            "servce:auth",
            "character 1: unknown key `servce`: do you mean `service`?",
        ),
        (
            "é -Service:auth",
            "character 4: unknown key `Service`: do you mean `service`?",
        ),
        (
            "env:prod",
            "character 1: unknown key `env`: put the key of an attribute or a text with `:`, `=`, `<`, `>` or `~` in quotes",
        ),
        (
            ":x",
            "character 1: `:` needs a key before it, such as service:auth",
        ),
        (
            "a.b==x",
            "character 4: unknown operator `==`: the operators are `:`, `=`, `!=`, `>`, `>=`, `<`, `<=` and `~`; put a value that begins with one in quotes",
        ),
        (
            "service>a",
            "character 8: `service` has no operator `>`: use `:`, `=`, `!=` or `~`",
        ),
        (
            "duration~1s",
            "character 9: `duration` has no operator `~`: use `>`, `>=`, `<` or `<=`",
        ),
        (
            "duration:1.2s",
            "character 9: `duration` has no operator `:`: use `>`, `>=`, `<` or `<=`",
        ),
        (
            "trace.duration!=1.2s",
            "character 15: `trace.duration` has no operator `!=`: use `>`, `>=`, `<` or `<=`",
        ),
        (
            "status~err",
            "character 7: `status` has no operator `~`: use `:`, `=` or `!=`",
        ),
        (
            "severity~err",
            "character 9: `severity` has no operator `~`: use `:`, `=`, `!=`, `>`, `>=`, `<` or `<=`",
        ),
        (
            "service: auth",
            "character 9: `service:` needs a value directly after it",
        ),
        (
            "text:\"\"",
            "character 6: a search for an empty text matches everything: write the text between the quotes",
        ),
        (
            "name~\"\"",
            "character 6: a search for an empty text matches everything: write the text between the quotes",
        ),
        (
            "-\"\"",
            "character 1: a search for an empty text matches everything: write the text between the quotes",
        ),
        (
            "duration>200",
            "character 10: `duration` needs a unit such as 200ms",
        ),
        (
            "trace.duration>0.5",
            "character 16: `trace.duration` needs a unit such as 200ms",
        ),
        (
            "duration>2d",
            "character 10: `duration` needs a whole number of nanoseconds below 584 years with ns, us, ms, s, m or h, such as 200ms",
        ),
        (
            "duration>1.5ns",
            "character 10: `duration` needs a whole number of nanoseconds below 584 years with ns, us, ms, s, m or h, such as 200ms",
        ),
        (
            "duration>1.s",
            "character 10: `duration` needs a whole number of nanoseconds below 584 years with ns, us, ms, s, m or h, such as 200ms",
        ),
        (
            "duration>5124096h",
            "character 10: `duration` needs a whole number of nanoseconds below 584 years with ns, us, ms, s, m or h, such as 200ms",
        ),
        (
            "duration>-1s",
            "character 10: `duration` needs a whole number of nanoseconds below 584 years with ns, us, ms, s, m or h, such as 200ms",
        ),
        (
            "trace:0af7",
            "character 7: `trace` needs the id of a trace: 32 hexadecimal digits, not all zero",
        ),
        (
            "status:failed",
            "character 8: `status` has no value `failed`: use unset, ok or error",
        ),
        (
            "level>=warning",
            "character 8: `level` has no value `warning`: use trace, debug, info, warn, error or fatal",
        ),
        (
            "kind:x",
            "character 6: `kind` has no value `x`: use internal, server, client, producer or consumer",
        ),
        ("a.b>x", "character 5: `>` needs a number such as 500"),
        ("a.b<=nan", "character 6: `<=` needs a number such as 500"),
        (
            "a - b",
            "character 3: `-` needs a term directly after it, such as -service:auth",
        ),
        (
            "name:\"GET /",
            "character 6: the quote has no end: close it with `\"`, and write `\\\"` for a quote inside",
        ),
        (
            "\"a\\",
            "character 1: the quote has no end: close it with `\"`, and write `\\\"` for a quote inside",
        ),
        (
            r#""a\nb""#,
            "character 3: unknown escape `\\n`: write `\\\\` for a backslash and `\\\"` for a quote",
        ),
        (
            "a\"b\"",
            "character 2: a quote has to be the whole value: put a space between terms, and write `\\\"` for a quote inside quotes",
        ),
        (
            "\"a\"b",
            "character 4: a quote has to be the whole value: put a space between terms, and write `\\\"` for a quote inside quotes",
        ),
        (
            "name:a\"b\"",
            "character 7: a quote has to be the whole value: put a space between terms, and write `\\\"` for a quote inside quotes",
        ),
        (
            "service:a OR status:error",
            "character 11: there is no `OR`, because all terms have to match: search for each alone, or for a part that they share, such as service~au; in quotes it is text",
        ),
        (
            "service:a or service:b",
            "character 11: there is no `or`, because all terms have to match: search for each alone, or for a part that they share, such as service~au; in quotes it is text",
        ),
        (
            "a && b",
            "character 3: `&&` is not needed, because all terms have to match: leave it out; in quotes it is text",
        ),
        (
            "NOT service:a",
            "character 1: there is no `NOT`: write `-` directly before a term, such as -service:auth; in quotes it is text",
        ),
        (
            "!service:a",
            "character 1: there is no `!`: write `-` directly before a term, such as -service:auth; in quotes it is text",
        ),
        (
            "service:a or b",
            "character 11: there is no `or`, because all terms have to match: search for each alone, or for a part that they share, such as service~au; in quotes it is text",
        ),
        (
            "service:a and b",
            "character 11: `and` is not needed, because all terms have to match: leave it out; in quotes it is text",
        ),
        (
            "a | b",
            "character 3: there is no `|`, because all terms have to match: search for each alone, or for a part that they share, such as service~au; in quotes it is text",
        ),
        (
            "service:(a)",
            "character 9: there are no parentheses, because all terms have to match: write them one after the other; in quotes they are text",
        ),
        (
            "level:(warn)",
            "character 7: there are no parentheses, because all terms have to match: write them one after the other; in quotes they are text",
        ),
        (
            "service:a,status:error",
            "character 9: `,` does not separate terms: put a space between a and status:error; in quotes it is text",
        ),
        (
            "http.route:/a&-name~b",
            "character 12: `&` does not separate terms: put a space between /a and -name~b; in quotes it is text",
        ),
        (
            "service:a,b",
            "character 9: there is no `,`, because all terms have to match: search for each alone, or for a part that they share, such as service~au; in quotes it is text",
        ),
        (
            "service:a|b",
            "character 9: there is no `|`, because all terms have to match: search for each alone, or for a part that they share, such as service~au; in quotes it is text",
        ),
        (
            "-(service:a b)",
            "character 2: there are no parentheses, because all terms have to match: write them one after the other; in quotes they are text",
        ),
        (
            "service:au*",
            "character 9: `*` is no wildcard: write service~au; in quotes it is text",
        ),
        (
            "http.route~/a/*/b",
            "character 12: `*` is no wildcard: write http.route~/a/ http.route~/b; in quotes it is text",
        ),
        (
            "-*refused",
            "character 2: `*` is no wildcard: write refused; in quotes it is text",
        ),
        (
            "name:*",
            "character 6: `*` is no wildcard: leave the term out; in quotes it is text",
        ),
        (
            "service:au?h",
            "character 9: `?` is no wildcard: write service~au service~h; in quotes it is text",
        ),
        (
            "service:“web”",
            "character 9: `“` is no quote of a filter: use `\"` at both ends; in quotes it is text",
        ),
        (
            "“timed out”",
            "character 1: `“` is no quote of a filter: use `\"` at both ends; in quotes it is text",
        ),
        (
            "service：web",
            "character 1: `：` is no operator: write `:` after a key; in quotes it is text",
        ),
        (
            "-http.route：/login",
            "character 2: `：` is no operator: write `:` after a key; in quotes it is text",
        ),
    ];
    for (text, message) in table {
        match text.parse::<Filter>() {
            Err(errors) => assert_eq!(errors.to_string(), message, "{text}"),
            Ok(filter) => panic!("{text}: {filter:?}"),
        }
    }
}

#[test]
fn words_parentheses_and_stars_can_be_searched_for() {
    for (text, canonical) in [
        ("\"OR\" service:a", "\"OR\" service:a"),
        ("could not connect", "could \"not\" connect"),
        ("this or that", "this \"or\" that"),
        ("\"not\" service:a", "\"not\" service:a"),
        ("main() ORDER", "main() ORDER"),
        ("\"(a\"", "\"(a\""),
        ("service:OR name:\"(a)\"", "service:OR name:\"(a)\""),
        (
            "service:auth could not connect",
            "service:auth could \"not\" connect",
        ),
        ("service:\"a,b\"", "service:\"a,b\""),
        ("http.query:a=1&b=2", "http.query:a=1&b=2"),
        ("http.route:\"/files/*path\"", "http.route:\"/files/*path\""),
        ("\"a.*\":x", "\"a.*\":x"),
    ] {
        let filter = parse(text);
        assert_eq!(filter.to_string(), canonical);
        assert_eq!(parse(canonical), filter);
        // Links add terms.
        let term = is(Condition::Service(Operator::Equal, "b".to_owned()));
        assert!(filter.with(term).is_some(), "{text}");
    }
}

#[test]
fn all_errors_are_reported_at_once() {
    let text = r#"servce:"a \" b" ok duration>5 name:"x\q y" status:error trce:1 "open"#;
    let errors = text.parse::<Filter>().unwrap_err();
    assert_eq!(
        errors.to_string().lines().collect::<Vec<_>>(),
        [
            "character 1: unknown key `servce`: do you mean `service`?",
            "character 29: `duration` needs a unit such as 200ms",
            "character 38: unknown escape `\\q`: write `\\\\` for a backslash and `\\\"` for a quote",
            "character 57: unknown key `trce`: do you mean `trace`?",
            "character 64: the quote has no end: close it with `\"`, and write `\\\"` for a quote inside",
        ]
    );
}

#[test]
fn a_filter_is_limited_in_characters_and_terms() {
    assert_eq!(parse(&"é".repeat(MAX_CHARACTERS)).terms().len(), 1);
    let errors = "é".repeat(MAX_CHARACTERS + 1).parse::<Filter>();
    assert_eq!(
        errors.unwrap_err().to_string(),
        "character 2001: the filter has 2001 characters, but the limit is 2000"
    );

    assert_eq!(parse(&"a ".repeat(MAX_TERMS)).terms().len(), MAX_TERMS);
    let errors = ("a ".repeat(MAX_TERMS + 2) + "servce:b").parse::<Filter>();
    assert_eq!(
        errors.unwrap_err().to_string(),
        "character 65: the filter has 35 terms, but the limit is 32\n\
         character 69: unknown key `servce`: do you mean `service`?"
    );

    // The canonical form has one character more.
    let text = format!("duration>0.1s {}", "a".repeat(MAX_CHARACTERS - 14));
    assert_eq!(
        text.parse::<Filter>().unwrap_err().to_string(),
        "character 2001: the filter has 2001 characters, but the limit is 2000"
    );
}

#[test]
fn the_canonical_form_parses_to_the_same_filter() {
    let pieces = [
        "service",
        "name",
        "kind",
        "status",
        "duration",
        "trace.duration",
        "trace",
        "level",
        "severity",
        "text",
        "a.b",
        "\"a\"",
        "\"a.b\"",
        ":",
        ":",
        "=",
        "!=",
        ">",
        ">=",
        "<",
        "<=",
        "~",
        "-",
        " ",
        " ",
        " ",
        "\"",
        "\"x y\"",
        "\"-\"",
        "\"!\"",
        "\"\\\"\"",
        "\\",
        "!",
        "é",
        "\u{a0}",
        "error",
        "warn",
        "server",
        "1",
        ".5",
        "200ms",
        "1.25s",
        "0h",
        "3\u{b5}s",
        TRACE,
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut valid = 0;
    for _ in 0..60_000 {
        let mut text = String::new();
        for _ in 0..random.usize(1..9) {
            text.push_str(random.choice(pieces).unwrap());
        }
        // Errors have a position in the text.
        let filter = match text.parse::<Filter>() {
            Ok(filter) => filter,
            Err(Errors(errors)) => {
                let characters = text.chars().count();
                let inside = |error: &Error| (1..=characters + 1).contains(&error.position);
                assert!(!errors.is_empty() && errors.iter().all(inside), "{text}");
                continue;
            }
        };
        let canonical = filter.to_string();
        assert_eq!(parse(&canonical), filter, "{text} {canonical}");
        assert_eq!(parse(&canonical).to_string(), canonical, "{text}");
        valid += usize::from(!filter.terms().is_empty());
    }
    assert!(valid > 5_000, "{valid} of 60,000 are valid");

    // Any terms, in any characters.
    for _ in 0..20_000 {
        let mut terms = Vec::new();
        for _ in 0..random.usize(0..5) {
            terms.push(any_term(&mut random));
        }
        let filter = Filter::from(terms);
        assert_eq!(parse(&filter.to_string()), filter, "{filter}");
    }
}

fn any_text(random: &mut fastrand::Rng, min: usize) -> String {
    let characters = [
        'a', 'b', '.', '-', ':', '=', '!', '<', '>', '~', '"', '\\', ' ', '\n', '\u{3000}', 'é',
        '\0', '*', '(', 'O', 'R', '?', '“', '：',
    ];
    (0..random.usize(min..5))
        .map(|_| *random.choice(&characters).unwrap())
        .collect()
}

fn any_term(random: &mut fastrand::Rng) -> Term {
    let operator = [Operator::Equal, Operator::Contains][random.usize(0..2)];
    let range = [
        Operator::Greater,
        Operator::GreaterOrEqual,
        Operator::Less,
        Operator::LessOrEqual,
    ][random.usize(0..4)];
    let order = [Operator::Equal, range][random.usize(0..2)];
    let min = usize::from(operator == Operator::Contains);
    let nanos = random.u64(..) >> random.u32(0..64);
    let condition = match random.u8(0..11) {
        0 => Condition::Service(operator, any_text(random, min)),
        1 => Condition::Name(operator, any_text(random, min)),
        2 => Condition::Kind(Kind::ALL[random.usize(0..5)].0),
        3 => Condition::Status(Status::ALL[random.usize(0..3)].0),
        4 => Condition::Duration(range, nanos),
        5 => Condition::TraceDuration(range, nanos / 1_000 * 1_000),
        6 => Condition::Trace(TRACE.parse().unwrap()),
        7 => Condition::Level(order, Level::ALL[random.usize(0..6)].0),
        8 => Condition::Text(any_text(random, 1)),
        9 => Condition::Attribute(any_text(random, 0), order, nanos.to_string()),
        _ => Condition::Attribute(any_text(random, 0), operator, any_text(random, min)),
    };
    let opposite = matches!(
        condition,
        Condition::Duration(..) | Condition::TraceDuration(..)
    );
    Term {
        negated: random.bool() && !opposite,
        condition,
    }
}

#[test]
fn a_signal_refuses_terms_that_it_does_not_have() {
    let messages = |unsupported: Vec<Unsupported>| {
        let messages: Vec<_> = unsupported.iter().map(ToString::to_string).collect();
        messages.join("\n")
    };
    let all = parse(&format!(
        "service:a name~x -kind:server status!=ok duration<2s trace.duration>1s trace:{TRACE} level:info \
         -a.b:c one"
    ));
    assert_eq!(
        messages(all.to_trace_filter().unwrap_err()),
        "`level:info`: traces have no `level`; their terms are `service`, `name`, `kind`, `status`, `duration`, \
         `trace.duration`, `trace`, text and attributes"
    );
    let terms = "logs have no `kind`; their terms are `service`, `name`, `level`, `trace`, text and attributes";
    assert_eq!(
        messages(all.to_log_filter().unwrap_err()),
        [
            ("-kind:server", "kind"),
            ("status!=ok", "status"),
            ("duration<2s", "duration"),
            ("trace.duration>1s", "trace.duration"),
        ]
        .map(|(term, key)| format!("`{term}`: {}", terms.replace("`kind`", &format!("`{key}`"))))
        .join("\n")
    );
    let terms = "their terms are `service`, `name` and attributes";
    assert_eq!(
        messages(all.to_series_filter().unwrap_err()),
        [
            ("-kind:server", "`kind`"),
            ("status!=ok", "`status`"),
            ("duration<2s", "`duration`"),
            ("trace.duration>1s", "`trace.duration`"),
            (&format!("trace:{TRACE}"), "`trace`"),
            ("level:info", "`level`"),
            ("one", "text"),
        ]
        .map(|(term, key)| format!("`{term}`: series have no {key}; {terms}"))
        .join("\n")
    );
}

#[test]
fn messages_quote_terms_as_they_were_written() {
    for (text, written) in [
        ("  severity=WARN ", "severity=WARN"),
        ("one -severity!=\"Warn\" two", "-severity!=\"Warn\""),
        ("a.b:é level>=INFO", "level>=INFO"),
    ] {
        let unsupported = parse(text).to_trace_filter().unwrap_err();
        let message = unsupported[0].to_string();
        let start = format!("`{written}`: traces have no `level`");
        assert!(message.starts_with(&start), "{message}");
    }
    let duration = parse("-duration>0.2s").to_log_filter().unwrap_err();
    assert!(duration[0].to_string().starts_with("`-duration>0.2s`: "));
    let error = "severity:loud".parse::<Filter>().unwrap_err().to_string();
    assert!(error.contains("`severity` has no value `loud`"), "{error}");
    // The terms of links are written as their canonical form.
    let filter = parse("service=a").with(parse("severity=WARN").terms()[0].clone());
    let unsupported = filter.unwrap().to_trace_filter().unwrap_err();
    assert!(unsupported[0].to_string().starts_with("`level:warn`: "));
}

#[test]
fn series_are_filtered() {
    let string = |text: &str| Value::StringValue(text.to_owned());
    let labels = [
        series(
            "auth",
            "http.requests",
            vec![
                ("http.route", string("/login")),
                ("http.status", Value::IntValue(200)),
            ],
        ),
        series(
            "user",
            "http.requests",
            vec![("http.route", string("/users"))],
        ),
        series("", "db.pool", vec![("db.system", string("Postgres"))]),
    ];
    let table: &[(&str, &[usize])] = &[
        ("", &[0, 1, 2]),
        ("service:auth", &[0]),
        ("-service:auth", &[1, 2]),
        ("service:\"\"", &[2]),
        ("service~U", &[0, 1]),
        ("name:db.pool", &[2]),
        ("name:db", &[]),
        ("name~HTTP", &[0, 1]),
        ("-name~http", &[2]),
        ("http.route:/login", &[0]),
        ("-http.route:/login", &[1, 2]),
        ("http.route~S", &[1]),
        ("http.status:200", &[0]),
        ("http.status>=200 http.status<300", &[0]),
        ("-http.status>=200", &[1, 2]),
        ("db.system~post", &[2]),
        ("host.name:user-1", &[1]),
        ("-host.name:user-1 -http.route:/login", &[2]),
        ("absent.key:x", &[]),
        ("-absent.key:x", &[0, 1, 2]),
    ];
    for (filter, expected) in table {
        let filter = parse(filter).to_series_filter().unwrap();
        let matching = (0..3).filter(|number| filter.matches(&labels[*number]));
        assert_eq!(matching.collect::<Vec<_>>(), *expected, "{filter:?}");
    }
}

/// What the store of metrics says of a series.
fn series(service: &str, name: &str, point: Vec<(&str, Value)>) -> Labels {
    let attributes = |pairs: Vec<(&str, Value)>| {
        let pairs = pairs.into_iter().map(|(key, value)| KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
        pairs.collect()
    };
    let point = NumberDataPoint {
        attributes: attributes(point),
        time_unix_nano: 1,
        value: Some(number_data_point::Value::AsInt(1)),
        ..NumberDataPoint::default()
    };
    let metric = Metric {
        name: name.to_owned(),
        data: Some(metric::Data::Gauge(Gauge {
            data_points: vec![point],
        })),
        ..Metric::default()
    };
    let resource = Resource {
        attributes: attributes(vec![
            ("service.name", Value::StringValue(service.to_owned())),
            ("host.name", Value::StringValue(format!("{service}-1"))),
        ]),
        ..Resource::default()
    };
    let metrics = Metrics::new(1 << 20);
    metrics.insert(&ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![metric],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    });
    metrics.series(name, |_| true).remove(0)
}

#[test]
fn links_change_a_term() {
    use Condition::{Attribute, Duration, Service, Text};
    use Operator::{Contains, Equal, Greater, Less};

    let service = |name: &str| Service(Equal, name.to_owned());
    let attribute = |key: &str| Attribute(key.to_owned(), Equal, "x y".to_owned());
    let filter = parse("-service:a refused service~b a.b:c");
    let with = |term| filter.with(term).map(|filter| filter.to_string());
    let only = |term| filter.with_only(term).map(|filter| filter.to_string());
    let some = |text: &str| Some(text.to_owned());

    assert_eq!(
        with(is(service("c"))),
        some("-service:a refused service~b a.b:c service:c")
    );
    // A term that it has already.
    assert_eq!(with(not(service("a"))), some(&filter.to_string()));
    assert_eq!(only(is(service("c"))), some("service:c refused a.b:c"));
    assert_eq!(
        only(is(attribute("a.b"))),
        some("-service:a refused service~b a.b:\"x y\"")
    );
    assert_eq!(
        only(not(attribute("c.d"))),
        some("-service:a refused service~b a.b:c -c.d:\"x y\"")
    );
    assert_eq!(
        only(not(Duration(Less, 7))),
        some("-service:a refused service~b a.b:c duration>=7ns")
    );
    assert_eq!(
        filter.without(&not(service("a"))).to_string(),
        "refused service~b a.b:c"
    );
    assert_eq!(filter.without(&is(service("a"))), filter);

    for term in [
        Text(String::new()),
        Duration(Equal, 1),
        Duration(Contains, 1),
        Attribute("a.b".to_owned(), Greater, "x".to_owned()),
        Text("a".repeat(MAX_CHARACTERS)),
    ] {
        assert_eq!(with(is(term.clone())), None, "{term:?}");
        assert_eq!(only(not(term)), None);
    }
    let full = parse(&"a ".repeat(MAX_TERMS));
    assert_eq!(full.with(is(service("a"))), None);
    let full = parse(&"a.b:c ".repeat(MAX_TERMS));
    assert_eq!(
        full.with_only(is(attribute("a.b"))).unwrap().terms().len(),
        1
    );
}
