//! Arbitrary bytes as the `detail` of an event: an accepted detail is preserved byte for byte, and reading its fields does not
//! panic.

#![no_main]

use hookbridge::event::{Detail, Fields, parse_timestamp};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(detail) = Detail::parse(bytes) {
        assert_eq!(detail.as_str().as_bytes(), bytes);
        let fields = Fields::parse(&detail);
        let _ = fields.text("/id");
        let _ = fields.raw_json("/created").and_then(parse_timestamp);
        let _ = fields.raw_json("/a.b.c");
    }
});
