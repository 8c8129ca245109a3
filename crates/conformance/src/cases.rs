//! The cases, in the order of the report.

mod data;
mod encoding;
mod json;
mod limits;
mod transport;

use crate::{
    Level::{Choice, Recommended, Required},
    case::Case,
};

macro_rules! cases {
    ($($id:literal $topic:ident::$check:ident $level:ident $what:literal,)*) => {
        &[$(Case {
            id: $id,
            topic: stringify!($topic),
            level: $level,
            what: $what,
            check: |target| Box::pin($topic::$check(target)),
        },)*]
    };
}

/// All cases.
pub(crate) const ALL: &[Case] = cases![
    "T1a" transport::grpc_plain Required "gRPC without compression accepts each signal",
    "T1b" transport::grpc_gzip Required "gRPC with gzip accepts each signal",
    "T1c" transport::protobuf_plain Required "protobuf over HTTP without compression accepts each signal",
    "T1d" transport::protobuf_gzip Required "protobuf over HTTP with gzip accepts each signal",
    "T1e" transport::json_plain Required "JSON over HTTP without compression accepts each signal",
    "T1f" transport::json_gzip Required "JSON over HTTP with gzip accepts each signal",
    "T1g" transport::grpc_unset Required "gRPC leaves `partial_success` unset on full success",
    "T1h" transport::http_unset Required "HTTP leaves `partial_success` unset on full success",
    "T1i" encoding::accept_encoding Required "HTTP with `Accept-Encoding: gzip` answers plain or in gzip",
    "T2a" transport::json_charset Choice "`application/json; charset=utf-8` is JSON",
    "T2b" transport::content_type_case Choice "content types in upper case are the same",
    "T3a" transport::unsupported_type Choice "another content type, or none, gets 415",
    "T3b" transport::unsupported_type_status Required "the refusal of another content type has a `Status` as its body",
    "T3c" transport::other_methods Choice "GET and PUT get 405 with `Allow: POST`",
    "T3d" transport::unknown_path Choice "an unknown path gets 404",
    "T3e" transport::other_statuses Choice "405 and 404 have a `Status` as their body",
    "T4a" encoding::unknown_encoding Choice "wrong zstd and an unknown `Content-Encoding` get 400 or 415",
    "T4b" encoding::wrong_gzip Required "wrong and cut gzip over HTTP get 400 with a `Status` in the encoding of the request",
    "T4c" encoding::grpc_wrong_gzip Recommended "wrong and cut gzip over gRPC get a code that clients do not retry",
    "T4d" encoding::grpc_unknown_encoding Choice "an unknown `grpc-encoding` gets UNIMPLEMENTED",
    "T5a" limits::up_to Recommended "protobuf over HTTP up to the limit is accepted",
    "T5b" limits::above Required "protobuf over HTTP of one byte above the limit gets 413 with a `Status`",
    "T5c" limits::json_above Required "JSON of one byte above the limit gets 413 with a `Status`",
    "T5d" limits::unpacked Required "gzip over HTTP that unpacks to more than the limit gets 413 with a `Status`",
    "T6a" limits::grpc_up_to Recommended "gRPC up to the limit is accepted",
    "T6b" limits::grpc_above Required "gRPC of one byte above the limit gets RESOURCE_EXHAUSTED without RetryInfo",
    "T6c" limits::grpc_unpacked Required "gzip over gRPC that unpacks to more than the limit gets RESOURCE_EXHAUSTED without RetryInfo",
    "T7a" limits::default Recommended "5 MiB over HTTP are accepted",
    "T7b" limits::grpc_default Recommended "5 MiB over gRPC are accepted",
    "T8a" encoding::empty Recommended "an empty request over HTTP is a success",
    "T8b" encoding::grpc_empty Recommended "an empty request over gRPC is a success",
    "T8c" encoding::empty_envelopes Recommended "resources without scopes, and scopes without spans, are a success",
    "T9a" encoding::partial Required "partial success over HTTP counts the rejected spans exactly",
    "T9b" encoding::grpc_partial Required "partial success over gRPC counts the rejected spans exactly",
    "T10a" encoding::garbage_protobuf Required "undecodable protobuf over HTTP gets 400 with a `Status` in protobuf",
    "T10b" encoding::garbage_json Required "undecodable JSON gets 400 with a `Status` in JSON",
    "T10c" encoding::json_array Required "a JSON array as the request gets 400 with a `Status` in JSON",
    "T10d" encoding::details Recommended "the `Status` of 400 has a `BadRequest` in its details",
    "T10e" encoding::grpc_garbage Recommended "undecodable protobuf over gRPC gets a code that clients do not retry",
    "T10f" encoding::grpc_garbage_code Recommended "undecodable protobuf over gRPC gets INVALID_ARGUMENT",
    "T10g" encoding::grpc_details Choice "the status of undecodable protobuf over gRPC has a `BadRequest` in its details",
    "T12a" transport::parallel Choice "100 clients in parallel are accepted, with 3 requests each",
    "T12b" transport::http2 Choice "HTTP/2 without TLS is accepted",
    "T12c" transport::chunked Choice "a body in chunks, without a length, is accepted",
    "T12d" transport::expect_continue Choice "`Expect: 100-continue` gets the interim answer 100",
    "T14" transport::twice Choice "the same request is accepted twice",
    "T15a" transport::local_origin Choice "CORS allows http://localhost:3000",
    "T15b" transport::other_origin Choice "CORS does not allow https://evil.example",
    "T16a" transport::profiles_path Choice "the path of profiles gets 404 with a `Status`",
    "T16b" transport::profiles_service Choice "the service of profiles gets UNIMPLEMENTED",
    "J1a" json::hex_ids Required "ids in hex are accepted in lower and in upper case",
    "J1b" json::other_ids Required "ids in base64 and of odd length get 400 or are rejected",
    "J2" json::integers Required "64-bit integers are accepted as strings and as numbers",
    "J3a" json::unknown_fields Required "unknown fields are ignored in each object",
    "J3b" json::snake_case Required "names in snake_case are unknown fields",
    "J4a" json::enum_number Required "enums are accepted as numbers",
    "J4b" json::enum_name Choice "enums as names get 400",
    "J5a" json::special_doubles Required "NaN and infinities are accepted as strings",
    "J5b" json::double_as_string Required "doubles are accepted as strings and as integers",
    "J5c" json::huge_double Choice "the number 1e400 gets 400",
    "J6a" json::null_fields Required "null in texts, numbers, enums and messages is accepted",
    "J6b" json::null_ids Required "null in ids is accepted",
    "J6c" json::null_arrays Required "null in arrays is accepted",
    "J7a" json::bytes Required "bytes are accepted in standard and in URL-safe base64, with and without padding",
    "J7b" json::values Required "empty values, nested arrays and maps are accepted",
    "D1" data::invalid_ids Choice "spans with invalid ids are rejected, and the others are accepted",
    "D2" data::odd_trees Choice "orphans, cycles and children before their parents are accepted",
    "D4" data::odd_times Choice "spans that end before they start, or have no times, are accepted",
    "D5" data::full_span Choice "a span with all fields is accepted",
    "D6a" data::odd_records Choice "log records without body, time, severity or ids, and with a structured body, are accepted",
    "D6b" data::records_with_invalid_ids Recommended "log records with invalid ids are accepted, without a trace",
    "D6c" data::values Choice "attributes of spans, log records and points have any kind of value",
    "D7" data::exponential Choice "exponential histograms of each scale, negative, zero and empty, are accepted",
    "D8" data::exponential_changes Choice "an exponential histogram that changes scale and starts again is accepted",
    "D9" data::histograms Choice "histograms without buckets, without sum and with changed bounds are accepted",
    "D10a" data::odd_points Choice "points without a value, of mixed types and of a non-monotonic sum are accepted",
    "D10b" data::summary Choice "summaries are accepted",
    "D10c" data::no_temporality Choice "a sum of unspecified temporality gets a warning",
    "D11" data::exemplars Choice "exemplars of integers and doubles, with and without a trace, are accepted",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_filters_select_cases_groups_and_topics() {
        let ids: HashSet<_> = ALL.iter().map(|case| case.id).collect();
        assert_eq!(ids.len(), ALL.len());
        let matching = |filter| {
            let cases = ALL.iter().filter(|case| case.matches(filter));
            cases.map(|case| case.id).collect::<Vec<_>>()
        };
        assert_eq!(matching("t5b"), ["T5b"]);
        assert_eq!(matching("J6"), ["J6a", "J6b", "J6c"]);
        assert_eq!(matching("T1").len(), 9);
        assert_eq!(matching("T99"), [""; 0]);
        assert!(matching("json").iter().all(|id| id.starts_with('J')));
    }
}
