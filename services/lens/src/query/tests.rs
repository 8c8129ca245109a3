//! Tests of filters as their callers see them.

use super::*;
use crate::store::{LogFilter, TraceFilter};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn parse(text: &str) -> Filter {
    text.parse()
        .unwrap_or_else(|errors| panic!("{text}\n{errors}"))
}

fn is(condition: Condition) -> Term {
    Term {
        negated: false,
        condition,
    }
}

fn not(condition: Condition) -> Term {
    Term {
        negated: true,
        condition,
    }
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
            "duration:7\u{3bc}s",
            is(Duration(Equal, 7_000)),
            "duration:7us",
        ),
        ("duration:0ms", is(Duration(Equal, 0)), "duration:0ns"),
        (
            "duration:1001ns",
            is(Duration(Equal, 1_001)),
            "duration:1001ns",
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
            "duration!=1m",
            not(Duration(Equal, 60_000_000_000)),
            "-duration:1m",
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
            "character 9: `duration` has no operator `~`: use `:`, `=`, `!=`, `>`, `>=`, `<` or `<=`",
        ),
        (
            "status~err",
            "character 7: `status` has no operator `~`: use `:`, `=` or `!=`",
        ),
        (
            "severity~err",
            "character 9: `level` has no operator `~`: use `:`, `=`, `!=`, `>`, `>=`, `<` or `<=`",
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
    ];
    for (text, message) in table {
        match text.parse::<Filter>() {
            Err(errors) => assert_eq!(errors.to_string(), message, "{text}"),
            Ok(filter) => panic!("{text}: {filter:?}"),
        }
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
        let filter = Filter { terms };
        assert_eq!(parse(&filter.to_string()), filter, "{filter}");
    }
}

fn any_text(random: &mut fastrand::Rng, min: usize) -> String {
    let characters = [
        'a', 'b', '.', '-', ':', '=', '!', '<', '>', '~', '"', '\\', ' ', '\n', '\u{3000}', 'é',
        '\0',
    ];
    (0..random.usize(min..5))
        .map(|_| *random.choice(&characters).unwrap())
        .collect()
}

fn any_term(random: &mut fastrand::Rng) -> Term {
    let operator = [Operator::Equal, Operator::Contains][random.usize(0..2)];
    let order = [
        Operator::Equal,
        Operator::Greater,
        Operator::GreaterOrEqual,
        Operator::Less,
        Operator::LessOrEqual,
    ][random.usize(0..5)];
    let min = usize::from(operator == Operator::Contains);
    let nanos = random.u64(..) >> random.u32(0..64);
    let condition = match random.u8(0..11) {
        0 => Condition::Service(operator, any_text(random, min)),
        1 => Condition::Name(operator, any_text(random, min)),
        2 => Condition::Kind(Kind::ALL[random.usize(0..5)].0),
        3 => Condition::Status(Status::ALL[random.usize(0..3)].0),
        4 => Condition::Duration(order, nanos),
        5 => Condition::TraceDuration(order, nanos / 1_000 * 1_000),
        6 => Condition::Trace(TRACE.parse().unwrap()),
        7 => Condition::Level(order, Level::ALL[random.usize(0..6)].0),
        8 => Condition::Text(any_text(random, 1)),
        9 => Condition::Attribute(any_text(random, 0), order, nanos.to_string()),
        _ => Condition::Attribute(any_text(random, 0), operator, any_text(random, min)),
    };
    let opposite = matches!(
        condition,
        Condition::Duration(order, _) | Condition::TraceDuration(order, _) if order != Operator::Equal
    );
    Term {
        negated: random.bool() && !opposite,
        condition,
    }
}

#[test]
fn traces_are_filtered_by_what_the_store_knows() {
    let filter = parse(
        "service:auth name~login status:error duration>200ms duration<=2s duration<3s trace.duration:5s \
         http.route:/login \"env\":prod refused",
    );
    let expected = TraceFilter {
        service: Some("auth".to_owned()),
        name: Some("login".to_owned()),
        error: true,
        min_duration: Some(200_000_001),
        max_duration: Some(2_000_000_000),
        attributes: vec![
            ("http.route".to_owned(), "/login".to_owned()),
            ("env".to_owned(), "prod".to_owned()),
        ],
        text: Some("refused".to_owned()),
        min_trace_duration: Some(5_000_000_000),
        max_trace_duration: Some(5_000_000_000),
    };
    assert_eq!(filter.to_trace_filter(), Ok(expected));
    let filter = parse(
        "duration>=1s duration>=2s duration>=1ms trace.duration<3s trace.duration<1s trace.duration<2s \
         service:a service:a",
    );
    let expected = TraceFilter {
        service: Some("a".to_owned()),
        min_duration: Some(2_000_000_000),
        max_trace_duration: Some(999_999_999),
        ..TraceFilter::default()
    };
    assert_eq!(filter.to_trace_filter(), Ok(expected));
}

#[test]
fn logs_are_filtered_by_what_the_store_knows() {
    let filter = parse(&format!(
        "service:auth level>=warn trace:{TRACE} a.b:c refused level>debug"
    ));
    let expected = LogFilter {
        service: Some("auth".to_owned()),
        min_severity: Some(13),
        trace: Some(TRACE.parse().unwrap()),
        attributes: vec![("a.b".to_owned(), "c".to_owned())],
        text: Some("refused".to_owned()),
    };
    assert_eq!(filter.to_log_filter(), Ok(expected));
    for (text, min) in [
        ("level>warn", 17),
        ("level:fatal", 21),
        ("level>=trace", 1),
        ("level>error", 21),
    ] {
        let filter = parse(text).to_log_filter().unwrap();
        assert_eq!(filter.min_severity, Some(min), "{text}");
    }
}

#[test]
fn terms_that_the_store_cannot_filter_by_are_named() {
    let messages = |unsupported: Vec<Unsupported>| {
        let messages: Vec<_> = unsupported.iter().map(ToString::to_string).collect();
        messages.join("\n")
    };
    let filter = parse(&format!(
        "service:a -service:b service:c name:x kind:server status:ok trace:{TRACE} level:info a.b~c a.b>1 \
         duration<0s one two"
    ));
    assert_eq!(
        messages(filter.to_trace_filter().unwrap_err()),
        format!(
            "`-service:b`: this list cannot exclude records\n\
             `service:c`: this list takes this key once, with one value\n\
             `name:x`: this list cannot compare this key with `:`: use `~`\n\
             `kind:server`: this list cannot filter by this key\n\
             `status:ok`: this list can only filter by `status:error`\n\
             `trace:{TRACE}`: this list cannot filter by this key\n\
             `level:info`: this list cannot filter by this key\n\
             `a.b~c`: this list cannot compare this key with `~`: use `:`\n\
             `a.b>1`: this list cannot compare this key with `>`: use `:`\n\
             `duration<0ns`: nothing can match\n\
             `two`: this list takes this key once, with one value"
        )
    );
    let filter = parse(
        "level:info level>fatal level<warn name~x kind:client status:error -a duration>1s trace.duration>1s",
    );
    assert_eq!(
        messages(filter.to_log_filter().unwrap_err()),
        "`level:info`: this list cannot compare this key with `:`: use `>=`\n\
         `level>fatal`: nothing can match\n\
         `level<warn`: this list cannot compare this key with `<`: use `>=`\n\
         `name~x`: this list cannot filter by this key\n\
         `kind:client`: this list cannot filter by this key\n\
         `status:error`: this list cannot filter by this key\n\
         `-a`: this list cannot exclude records\n\
         `duration>1s`: this list cannot filter by this key\n\
         `trace.duration>1s`: this list cannot filter by this key"
    );
}
