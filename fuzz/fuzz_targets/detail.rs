//! Any bytes as a detail: what is taken is kept byte for byte, and its fields can be looked for.

#![no_main]

use hookbridge::event::{Detail, Fields, parse_timestamp};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(detail) = Detail::parse(bytes) {
        assert_eq!(detail.as_str().as_bytes(), bytes);
        let fields = Fields::parse(&detail);
        let _ = fields.string("id");
        let _ = fields.raw_json("created").and_then(parse_timestamp);
        let _ = fields.raw_json("a.b.c");
    }
});
