//! Arbitrary text as a message of the spill queue: an event that is parsed from a message is equal after it is serialized and
//! parsed again.

#![no_main]

use hookbridge::event::Event;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(event) = Event::from_entry(text) {
        let again = event.to_entry().ok().and_then(|entry| Event::from_entry(&entry).ok());
        assert!(again == Some(event));
    }
});
