//! Arbitrary text as the event of an HTTP request, and as the query that is configured at the provider: no event makes the parser
//! panic.

#![no_main]

use hookbridge::bridge::webhook_from_http_request;
use hookbridge::lambda::HttpRequest;

libfuzzer_sys::fuzz_target!(|input: (&str, &str)| {
    let (event, query) = input;
    let public = format!("https://hooks.example/in?{query}").parse().ok();
    if let Ok(request) = HttpRequest::parse(event) {
        let _ = webhook_from_http_request(request, public.as_ref());
    }
});
