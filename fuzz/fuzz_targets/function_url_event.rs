//! Any text as the event of an invocation.

#![no_main]

use hookbridge::bridge::Request;

libfuzzer_sys::fuzz_target!(|event: &str| {
    let public = "https://hooks.example/in".parse().ok();
    let _ = Request::of_function_url(event, None);
    let _ = Request::of_function_url(event, public.as_ref());
});
