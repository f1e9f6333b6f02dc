//! Measures how much longer the verification of a webhook of 100 KB takes than the bare signature check of the same bytes: the
//! HMAC, the hash, or the check with the public key.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark fails by panicking and prints its result"
)]

use std::hint::black_box;
use std::time::Instant;

use hmac::Hmac;
use hookbridge::providers::{Algorithm, KeyFormat, PROVIDERS, Provider, SignatureScheme, WebhookRequest};
use hookbridge::secrets::Secret;
use jiff::Timestamp;
use sha1::Sha1;
use sha2::Sha256;

const BODY_BYTES: usize = 100_000;
const ROUNDS: usize = 60;

fn main() {
    println!(
        "verifying a webhook of {BODY_BYTES} bytes, as a multiple of the bare signature check of the same bytes"
    );
    let mut schemes: Vec<(String, f64, Vec<&str>)> = Vec::new();
    for provider in PROVIDERS {
        if matches!(provider.signature_scheme, SignatureScheme::SharedSecret(_)) {
            continue;
        }
        let ratio = measure(provider);
        println!("{:<20} {ratio:.3}", provider.name);
        let name = format!("{}", provider.signature_scheme.signature_formats()[0].algorithm);
        match schemes.iter_mut().find(|(scheme, ..)| *scheme == name) {
            Some((_, worst, providers)) => {
                *worst = worst.max(ratio);
                providers.push(provider.name);
            }
            None => schemes.push((name, ratio, vec![provider.name])),
        }
    }
    for (name, worst, providers) in schemes {
        println!("{name}: at most {worst:.3} ({} providers)", providers.len());
    }
}

/// A body of the provider, padded to 100 KB.
fn body(provider: &Provider, now: Timestamp) -> String {
    let sample = &provider.samples[0];
    let sample = match sample.time_placeholder.len() {
        // Linear's timestamp in the body.
        13 => sample.body.replace(sample.time_placeholder, &now.as_millisecond().to_string()),
        _ => sample.body.to_owned(),
    };
    let padding = "x".repeat(BODY_BYTES.saturating_sub(sample.len()));
    match sample.as_bytes()[0] {
        b'{' => format!("{{\"padding\":\"{padding}\",{}", &sample[1..]),
        b'[' => format!("[{{\"padding\":\"{padding}\"}},{}", &sample[1..]),
        _ => format!("{sample}&padding={padding}"),
    }
}

/// The median time of a verification, divided by the median time of the bare check.
fn measure(provider: &'static Provider) -> f64 {
    let secret = provider.signature_scheme.generate_secret().unwrap();
    let now = Timestamp::now();
    let mut request = WebhookRequest::post("https://hooks.example/".parse().unwrap(), body(provider, now));
    let media_type = provider.body_format.media_type_of(&request.body);
    request.add_header("content-type", media_type);
    for (name, value) in provider.samples[0].headers.iter().filter(|(name, _)| *name != "content-type") {
        request.add_header(name, *value);
    }
    if provider.name == "contentful" {
        request.add_header("x-contentful-topic", "Entry.publish");
    }
    provider.signature_scheme.sign(&mut request, &Secret::new(secret.signing.as_str()), now).unwrap();
    let webhook = request.to_raw();
    let verifying = Secret::new(secret.verifying.as_str());
    let signature = request.headers.last().map(|(_, value)| value.clone()).unwrap_or_default();
    let format = provider.signature_scheme.signature_formats()[0];
    let public_key = match format.key_format {
        KeyFormat::Hex => hex::decode(&secret.verifying).unwrap_or_default(),
        _ => Vec::new(),
    };
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let copy = webhook.clone();
        let started = Instant::now();
        let verified = provider.parse_signature(black_box(copy), now).unwrap().verify(&verifying);
        times.0.push(started.elapsed());
        assert!(verified.is_ok(), "{}", provider.name);
        let started = Instant::now();
        match format.algorithm {
            Algorithm::HmacSha1 => bare_hmac::<Hmac<Sha1>>(&request.body),
            Algorithm::Ed25519 => {
                let message = [b"1795341600", &request.body[..]].concat();
                let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, &public_key);
                let _ = black_box(key.verify(&message, &hex::decode(&signature).unwrap()));
            }
            Algorithm::EcdsaP256 => bare_ecdsa(&secret.verifying, &request.body, &signature),
            _ => bare_hmac::<Hmac<Sha256>>(&request.body),
        }
        times.1.push(started.elapsed());
    }
    let median = |times: &mut Vec<std::time::Duration>| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    };
    median(&mut times.0) / median(&mut times.1)
}

fn bare_hmac<M: hmac::Mac + hmac::KeyInit>(body: &[u8]) {
    let mut mac = <M as hmac::KeyInit>::new_from_slice(b"dev-0123456789abcdef").unwrap();
    mac.update(body);
    black_box(mac.finalize().into_bytes());
}

fn bare_ecdsa(public_key: &str, body: &[u8], signature: &str) {
    use base64::Engine as _;
    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let point = decode(public_key)[26..].to_vec();
    let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_ASN1, &point);
    let message = [b"1795341600", body].concat();
    let _ = black_box(key.verify(&message, &decode(signature)));
}
