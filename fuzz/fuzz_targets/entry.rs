//! Arbitrary text as a queue message with an entry: an accepted entry round-trips.

#![no_main]

use hookbridge::event::Event;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(event) = Event::from_entry(text) {
        let again = event.to_entry().ok().and_then(|entry| Event::from_entry(&entry).ok());
        assert!(again == Some(event));
    }
});
