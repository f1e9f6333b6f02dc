//! Arbitrary bytes as a page of a provider's event list: the query of the next page cannot change the request's host or path, and
//! a database accepts every parsed event.

#![no_main]

use hookbridge::providers;
use hookbridge::recorder::parse_polled_page;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let answer = String::from_utf8_lossy(body);
    for provider in providers::PROVIDERS {
        let Some(polling) = &provider.polling else { continue };
        if let Ok(Some(next)) = polling.next_page_query(&answer, "first=1") {
            assert!(next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
        }
        let events = polling.parse_events(&answer).map(|events| events.len()).ok();
        let records = parse_polled_page(provider, &answer, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(records.as_ref().map(|(records, _)| records.len()), events);
        for record in records.iter().flat_map(|(records, _)| records) {
            assert!(serde_json::from_str::<serde::de::IgnoredAny>(&record.detail).is_ok());
            assert!(!record.id.is_empty() && record.id.len() <= 1024 && !record.id.contains('\0'));
            assert!(!record.detail_type.is_empty() && !record.detail_type.contains('\0'));
            assert!(hookbridge::log::is_recordable(record.time));
        }
    }
});
