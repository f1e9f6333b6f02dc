//! Any bytes as a detail: what is taken is kept byte for byte, and its fields can be looked for.

#![no_main]

use hookbridge::event::{Detail, Fields, time_of};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(detail) = Detail::parse(bytes) {
        assert_eq!(detail.as_str().as_bytes(), bytes);
        let fields = Fields::of(&detail);
        let _ = fields.string("id");
        let _ = fields.raw("created").and_then(time_of);
        let _ = fields.raw("a.b.c");
    }
});
