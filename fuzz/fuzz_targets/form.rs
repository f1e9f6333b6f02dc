//! Arbitrary bytes as a form: parsing does not panic, and no pair is longer than the body.

#![no_main]

use hookbridge::providers::Form;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let form = Form::parse(body);
    for (name, value) in form.pairs() {
        assert!(name.len() + value.len() <= body.len());
    }
});
