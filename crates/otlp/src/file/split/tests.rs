use bytes::Bytes;

use super::*;

fn split(text: &str, limit: usize) -> Vec<(u64, Option<String>)> {
    let mut splitter = Splitter::new(limit);
    let mut objects: Vec<_> = text
        .bytes()
        .filter_map(|byte| splitter.push(byte))
        .collect();
    objects.extend(splitter.end());
    let text = |bytes: Bytes| String::from_utf8(bytes.into()).unwrap().trim().to_owned();
    objects
        .into_iter()
        .map(|object| (object.line, object.bytes.map(text)))
        .collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn an_object_ends_with_its_last_bracket() {
    assert_eq!(
        split(
            "{\"a\":\"}{\\\"\"}\n\n  {\"b\":[1]}\r\nword\n{}{} [\n] x",
            100
        ),
        [
            (1, some("{\"a\":\"}{\\\"\"}")),
            (3, some("{\"b\":[1]}")),
            (4, some("word")),
            (5, some("{}")),
            (5, some("{}")),
            (5, some("[\n]")),
            (6, some("x")),
        ]
    );
}

#[test]
fn an_object_may_have_several_lines() {
    let text = "\n{\n  \"a\": {\n  }\n}\n{\"b\":1}\n";
    assert_eq!(
        split(text, 100),
        [(2, some("{\n  \"a\": {\n  }\n}")), (6, some("{\"b\":1}"))]
    );
}

#[test]
fn a_line_that_is_cut_off_spoils_no_other() {
    let text = "{\"resourceLogs\":[{\"a\n{\"resourceSpans\":[]}\n{\"resourceLogs\":[]}\n";
    assert_eq!(
        split(text, 100),
        [
            (1, some("{\"resourceLogs\":[{\"a")),
            (2, some("{\"resourceSpans\":[]}")),
            (3, some("{\"resourceLogs\":[]}")),
        ]
    );
}

#[test]
fn a_large_object_is_left_out() {
    let large = format!("{{\"resourceLogs\":\"{}\"}}", "x".repeat(100));
    let text = format!("{large}\n{{}}\n{{\n\"a\":\n{large}\n{{}}");
    assert_eq!(
        split(&text, 50),
        [
            (1, None),
            (2, some("{}")),
            (3, some("{\n\"a\":")),
            (5, None),
            (6, some("{}")),
        ]
    );
}
