//! Arbitrary bytes as an event pattern, an event and a subscriber's URL: parsing and matching do not panic, and a URL with an
//! internal address is rejected.

#![no_main]

use std::net::IpAddr;

use hookbridge::delivery::SsrfGuard;
use hookbridge::event::Pattern;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (first, second) = text.split_once('\n').unwrap_or((&text, ""));
    if let Ok(pattern) = first.parse::<Pattern>() {
        let event: serde_json::Value = serde_json::from_str(second).unwrap_or_default();
        assert_eq!(pattern.matches(&event), pattern.matches(&event));
        assert_eq!(pattern.as_str(), first);
    }
    if let Ok(url) = SsrfGuard::new(vec![]).parse_url(first) {
        assert_eq!(url.scheme(), "https");
        assert!(url.username().is_empty() && url.password().is_none());
        let host = url.host_str().unwrap().trim_matches(['[', ']']);
        let Ok(address) = host.parse::<IpAddr>() else { return };
        assert!(!address.is_loopback() && !address.is_unspecified() && !address.is_multicast());
        match address.to_canonical() {
            IpAddr::V4(address) => {
                assert!(!address.is_private() && !address.is_link_local() && !address.is_loopback())
            }
            IpAddr::V6(address) => assert_eq!(address.segments()[0] >> 13, 1),
        }
    }
});
