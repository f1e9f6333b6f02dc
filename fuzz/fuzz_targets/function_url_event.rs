//! Arbitrary text as a Function URL event: parsing does not panic.

#![no_main]

use hookbridge::bridge::WebhookRequest;

libfuzzer_sys::fuzz_target!(|event: &str| {
    let public = "https://hooks.example/in".parse().ok();
    let _ = WebhookRequest::from_function_url_event(event, None);
    let _ = WebhookRequest::from_function_url_event(event, public.as_ref());
});
