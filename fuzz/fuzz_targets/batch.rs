//! Arbitrary bytes as a batch: one element never affects the others, and a database accepts every record.

#![no_main]

use hookbridge::providers::email::sparkpost::SPARKPOST;
use hookbridge::recorder::parse_batch;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let body = String::from_utf8_lossy(body);
    let batch = parse_batch(SPARKPOST.batch_format().unwrap(), None, &body, jiff::Timestamp::UNIX_EPOCH);
    assert!(batch.unrecognized_count <= batch.events.len());
    for record in &batch.events {
        assert!(serde_json::from_str::<serde::de::IgnoredAny>(&record.detail).is_ok());
        assert!(!record.id.is_empty() && record.id.len() <= 1024 && !record.id.contains('\0'));
        assert!(!record.detail_type.is_empty() && !record.detail_type.contains('\0'));
        assert!(
            record
                .search_columns
                .stored_values()
                .flatten()
                .all(|value| value.len() <= 2048 && !value.contains('\0'))
        );
        assert!(hookbridge::log::is_recordable(record.time));
    }
});
