//! Why a webhook is not valid: the diagnosis of `hookbridge verify`, and of `hookbridge serve` for development secrets.
//!
//! The diagnosis tries the mistakes that people make with bodies, secrets, URLs, headers and clocks, and reports the smallest set
//! of mistakes that explains the signature. It contains neither the secret nor a signature.

mod variants;

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderName;
use jiff::Timestamp;

use self::variants::Variant;
use super::{
    Algorithm, Encoding, HeaderFormat, HeaderSignature, Provider, RawWebhook, SecretLocation,
    SignatureFormat, SignatureScheme, TimestampLocation, VerificationError,
};
use crate::secrets::Secret;

/// Maximum size of a body whose variants are combined with those of the secret and the URL, in bytes.
const MAX_COMBINED_BODY_BYTES: usize = 64 << 10;

/// The diagnosis of a webhook.
#[derive(Debug)]
pub struct Diagnosis {
    /// Why the webhook is not valid; `None` if it is valid.
    pub error: Option<VerificationError>,
    /// The mistakes that together explain an invalid webhook, as sentences; empty if none was found.
    pub mistakes: Vec<String>,
    /// The signature headers that the provider would have sent; `None` if they cannot be computed.
    pub expected: Option<String>,
}

impl Diagnosis {
    fn invalid(error: VerificationError, mistakes: Vec<String>) -> Self {
        Self { error: Some(error), mistakes, expected: None }
    }
}

/// Diagnoses a webhook that arrived at `now` and should be signed with `secret`.
pub fn diagnose(
    provider: &'static Provider,
    webhook: &RawWebhook,
    secret: &str,
    now: Timestamp,
) -> Diagnosis {
    let error = match verify(provider, webhook, secret, now) {
        Ok(()) => return Diagnosis { error: None, mistakes: Vec::new(), expected: None },
        Err(error) => error,
    };
    if secret.trim().is_empty() {
        return Diagnosis::invalid(error, vec!["the secret is empty".to_owned()]);
    }
    let schemes: &[SignatureScheme] = match &provider.signature_scheme {
        SignatureScheme::AnyOf(schemes) => schemes,
        scheme => std::slice::from_ref(scheme),
    };
    let explanations = schemes.iter().filter_map(|scheme| match scheme {
        SignatureScheme::Header(scheme) => explain_header(scheme, webhook, secret, now),
        SignatureScheme::SharedSecret(locations) => explain_shared_secret(locations, webhook, secret),
        scheme => explain_key(scheme, webhook, secret, now),
    });
    let mut diagnosis = Diagnosis::invalid(error, explanations.min_by_key(Vec::len).unwrap_or_default());
    if diagnosis.mistakes.is_empty() {
        diagnosis.mistakes = describe_missing_parts(&schemes[0], webhook, error);
    }
    if diagnosis.mistakes.is_empty() {
        diagnosis.mistakes = explain_time(&schemes[0], webhook, now);
    }
    diagnosis.expected = expected_signature(&schemes[0], webhook, secret, now);
    diagnosis
}

fn verify(
    provider: &'static Provider,
    webhook: &RawWebhook,
    secret: &str,
    now: Timestamp,
) -> Result<(), VerificationError> {
    let unverified = provider.parse_signature(webhook.clone(), now)?;
    unverified.verify(&Secret::new(secret)).map(drop).map_err(|unverified| unverified.error())
}

/// A text in a header that may be a signature, decoded in every way.
struct FoundSignature {
    bytes: Vec<u8>,
    mistakes: Vec<String>,
}

/// The mistakes that explain a signature in a header; `None` if no known mistake does.
fn explain_header(
    scheme: &HeaderSignature,
    webhook: &RawWebhook,
    secret: &str,
    now: Timestamp,
) -> Option<Vec<String>> {
    let found = find_signatures(scheme, webhook);
    let timestamps = timestamps(scheme, webhook);
    let mut best: Option<Vec<String>> = None;
    let bodies = variants::bodies(webhook.body());
    let urls = if scheme.signs_url() { variants::urls(webhook) } else { Vec::new() };
    for format in scheme.signatures {
        let keys = variants::keys(secret, format.key_format);
        let is_small = webhook.body_len() <= MAX_COMBINED_BODY_BYTES;
        for (body_index, body) in bodies.iter().enumerate() {
            for (key_index, key) in keys.iter().enumerate() {
                if !is_small && body_index > 0 && key_index > 0 {
                    continue;
                }
                // Another URL is combined with no other mistake.
                let count = if body_index + key_index == 0 { urls.len() } else { 1 };
                let urls: Vec<Option<&Variant<_>>> = match urls.is_empty() {
                    true => vec![None],
                    false => urls.iter().take(count).map(Some).collect(),
                };
                for url in urls {
                    let mut variant = webhook.clone().with_body(Bytes::copy_from_slice(&body.value));
                    if let Some(url) = url {
                        variant = variant.with_url(url.value.clone());
                    }
                    for timestamp in &timestamps {
                        let Ok(input) = scheme.signing_input(&variant, &timestamp.value) else { continue };
                        for pieces in &input.0 {
                            let Some(found) = find_match(format, &key.value, pieces, &found) else {
                                continue;
                            };
                            let url = url.and_then(|url| url.mistake.clone());
                            let clock = describe_clock(scheme, &timestamp.value, now);
                            let time = timestamp.mistake.clone().or(clock);
                            let mistakes = [body.mistake.clone(), key.mistake.clone(), url, time];
                            let mistakes: Vec<String> = mistakes.into_iter().flatten().chain(found).collect();
                            if best.as_ref().is_none_or(|best| mistakes.len() < best.len()) {
                                best = Some(mistakes);
                            }
                        }
                    }
                }
            }
        }
    }
    best
}

/// The error in the time of a webhook whose signature does not match, either.
fn explain_time(scheme: &SignatureScheme, webhook: &RawWebhook, now: Timestamp) -> Vec<String> {
    let SignatureScheme::Header(scheme) = scheme else { return Vec::new() };
    let timestamps = timestamps(scheme, webhook);
    let time = timestamps.first().and_then(|text| describe_clock(scheme, &text.value, now));
    time.into_iter().flat_map(|time| [time, "the signature does not match, either".to_owned()]).collect()
}

/// The mistakes with which one of the `found` signatures is valid over `pieces`; `None` if none is valid.
fn find_match(
    format: &SignatureFormat,
    key: &[u8],
    pieces: &[Bytes],
    found: &[FoundSignature],
) -> Option<Vec<String>> {
    let valid = |algorithm: Algorithm| {
        let signatures = found.iter().filter(|signature| algorithm.accepts_length(signature.bytes.len()));
        let mut signatures = signatures.filter(|signature| {
            algorithm.has_valid_signature(key, pieces, std::iter::once(signature.bytes.as_slice()))
        });
        signatures.next().map(|signature| signature.mistakes.clone())
    };
    if let Some(mistakes) = valid(format.algorithm) {
        return Some(mistakes);
    }
    let others = [Algorithm::HmacSha1, Algorithm::HmacSha256, Algorithm::HmacSha512];
    let others =
        others.into_iter().filter(|other| *other != format.algorithm && !format.algorithm.has_public_key());
    others.into_iter().find_map(|algorithm| {
        let mut mistakes = valid(algorithm)?;
        mistakes.push(format!("the signature is {algorithm}, and the provider's is {}", format.algorithm));
        Some(mistakes)
    })
}

/// The texts in all headers that may be signatures: those in the provider's headers, and any other text that decodes to the length
/// of a signature.
fn find_signatures(scheme: &HeaderSignature, webhook: &RawWebhook) -> Vec<FoundSignature> {
    let mut found = Vec::new();
    for (name, value) in webhook.header_pairs() {
        let Ok(value) = value.to_str() else { continue };
        let is_expected = scheme.headers.iter().any(|header| {
            webhook.numbered_header_values(header).any(|(expected, _)| expected == name.as_str())
        });
        let mistake = (!is_expected).then(|| {
            format!(
                "the signature is in the header {name}, and the provider's is {}",
                scheme.headers.join(" or ")
            )
        });
        let items: Vec<&str> = match scheme.header_format {
            HeaderFormat::List(separator) if is_expected => value.split(separator).collect(),
            HeaderFormat::Single if is_expected => vec![value],
            _ => value.split([',', ';', ' ']).collect(),
        };
        for item in items.into_iter().map(str::trim).filter(|item| item.len() >= 20) {
            add_decodings(scheme, item, mistake.as_deref(), &mut found);
        }
    }
    found
}

fn add_decodings(
    scheme: &HeaderSignature,
    item: &str,
    mistake: Option<&str>,
    found: &mut Vec<FoundSignature>,
) {
    let prefixes = scheme.signatures.iter().map(|format| format.prefix);
    let expected = prefixes.clone().find_map(|prefix| item.strip_prefix(prefix));
    let mut texts = vec![];
    if let Some(text) = expected {
        texts.push((text, None));
    }
    // After another prefix, or without one.
    let other = item.split_once('=').filter(|(_, text)| !text.is_empty()).map(|(_, text)| text);
    let prefix = prefixes.clone().next().unwrap_or_default();
    for text in [Some(item), other].into_iter().flatten() {
        texts.push((text, Some(format!("the signature does not begin with '{prefix}'"))));
    }
    for (text, prefix_mistake) in texts {
        let decodings = [
            (Encoding::Hex, hex::decode(text).ok()),
            (Encoding::Base64, STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()),
            (Encoding::Base64Url, URL_SAFE.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).ok()),
        ];
        for (encoding, bytes) in decodings {
            let Some(bytes) = bytes.filter(|bytes| matches!(bytes.len(), 20 | 32 | 64 | 68..=72)) else {
                continue;
            };
            let is_expected = encoding == scheme.encoding && encoding.decode(text).is_some();
            let encoding_mistake = (!is_expected).then(|| match encoding == scheme.encoding {
                true => "the hex digits of the signature are upper-case letters".to_owned(),
                false => {
                    format!("the signature is in {encoding}, and the provider's is in {}", scheme.encoding)
                }
            });
            let mistakes = [mistake.map(str::to_owned), prefix_mistake.clone(), encoding_mistake];
            found.push(FoundSignature { bytes, mistakes: mistakes.into_iter().flatten().collect() });
        }
    }
    // The right reading comes first.
    found.sort_by_key(|signature| signature.mistakes.len());
}

/// The timestamps that may be signed, as written; an empty text if the scheme or the webhook has none.
fn timestamps(scheme: &HeaderSignature, webhook: &RawWebhook) -> Vec<Variant<String>> {
    let variant =
        |value: String, mistake: Option<&str>| Variant { value, mistake: mistake.map(str::to_owned) };
    let text = match scheme.timestamp.map(|timestamp| timestamp.location) {
        None | Some(TimestampLocation::Body(_)) => return vec![variant(String::new(), None)],
        Some(TimestampLocation::Header(names)) => webhook.first_header(names).map(str::to_owned),
        Some(TimestampLocation::SignatureHeader(prefix)) => {
            let values = scheme.headers.iter().filter_map(|name| webhook.header(name));
            let mut items = values.flat_map(|value| value.split([',', ';', ' ']).map(str::trim));
            items.find_map(|item| item.strip_prefix(prefix)).map(str::to_owned)
        }
    };
    let Some(text) = text else {
        return vec![variant(String::new(), Some("the webhook has no timestamp, which the provider signs"))];
    };
    let seconds = text.strip_suffix("000").filter(|seconds| seconds.len() == 10).map(str::to_owned);
    let millis = (text.len() == 10).then(|| format!("{text}000"));
    let mut timestamps = vec![variant(text, None)];
    timestamps.extend(
        seconds.map(|text| {
            variant(text, Some("the timestamp is in milliseconds, and the provider signs seconds"))
        }),
    );
    timestamps.extend(
        millis.map(|text| {
            variant(text, Some("the timestamp is in seconds, and the provider signs milliseconds"))
        }),
    );
    timestamps
}

/// The error in a signed timestamp; `None` if it is within the tolerance.
fn describe_clock(scheme: &HeaderSignature, text: &str, now: Timestamp) -> Option<String> {
    let timestamp = scheme.timestamp?;
    if timestamp.check(text, now).is_ok() {
        return None;
    }
    let Some(millis) = timestamp.format.parse(text) else {
        return Some("the timestamp does not have the provider's format".to_owned());
    };
    let age = (now.as_millisecond() - millis).div_euclid(1000);
    let limit = timestamp.tolerance;
    // Seconds that were read as milliseconds, or the reverse, are decades away from now.
    let unit = match age {
        1_000_000_000.. => ". It is in seconds where the provider sends milliseconds",
        ..=-1_000_000_000 => ". It is in milliseconds where the provider sends seconds",
        _ => "",
    };
    Some(match age >= 0 {
        true => {
            format!("the timestamp is {age} s old, and at most {} s are accepted{unit}", limit.past_seconds)
        }
        false => {
            format!(
                "the timestamp is {} s in the future, and at most {} s are accepted{unit}",
                -age, limit.future_seconds
            )
        }
    })
}

/// The mistakes that explain a wrong shared secret.
fn explain_shared_secret(
    locations: &[SecretLocation],
    webhook: &RawWebhook,
    secret: &str,
) -> Option<Vec<String>> {
    let trimmed = secret.trim();
    let everywhere = [SecretLocation::Basic, SecretLocation::Bearer, SecretLocation::Header("authorization")];
    let sent = locations.iter().find_map(|location| location.read(webhook));
    let is_secret = |sent: &[u8], secret: &str| sent == secret.as_bytes();
    if let Some(sent) = &sent {
        if is_secret(sent, trimmed) {
            return Some(vec!["the secret has white space at its start or end; remove it".to_owned()]);
        }
        let sent = String::from_utf8_lossy(sent);
        if sent.trim() == trimmed {
            return Some(vec!["the secret in the request has white space at its start or end".to_owned()]);
        }
        let bare = sent.split_once(' ').map(|(_, rest)| rest);
        if bare == Some(trimmed) || trimmed.split_once(' ').map(|(_, rest)| rest) == Some(&*sent) {
            return Some(vec!["the secret with, or without, the word Basic or Bearer before it".to_owned()]);
        }
        let password = |text: &str| text.split_once(':').map(|(_, password)| password.to_owned());
        if password(&sent).as_deref() == Some(trimmed) {
            return Some(vec!["the secret must be user:password, not only the password".to_owned()]);
        }
        return None;
    }
    let elsewhere = everywhere
        .iter()
        .find(|location| location.read(webhook).is_some_and(|sent| is_secret(&sent, trimmed)))?;
    let expected: Vec<String> = locations.iter().map(SecretLocation::to_string).collect();
    Some(vec![format!(
        "the request contains the secret {elsewhere}; the provider sends it {}",
        expected.join(" or ")
    )])
}

/// The mistakes with the secret of a scheme without a signature in a header of its own: JSON Web Signatures and bodies.
fn explain_key(
    scheme: &SignatureScheme,
    webhook: &RawWebhook,
    secret: &str,
    now: Timestamp,
) -> Option<Vec<String>> {
    let format = scheme.signature_formats().first()?;
    let bodies = variants::bodies(webhook.body());
    bodies.iter().find_map(|body| {
        let variant = webhook.clone().with_body(Bytes::copy_from_slice(&body.value));
        let parsed = scheme.parse(&variant, now).ok()?;
        let keys = variants::keys(secret, format.key_format);
        let key = keys.iter().find(|key| parsed.is_valid_with_key(&key.value))?;
        Some([body.mistake.clone(), key.mistake.clone()].into_iter().flatten().collect())
    })
}

/// The parts that a webhook of the provider has and this one does not.
fn describe_missing_parts(
    scheme: &SignatureScheme,
    webhook: &RawWebhook,
    error: VerificationError,
) -> Vec<String> {
    let scheme = match scheme {
        SignatureScheme::Header(scheme) => scheme,
        SignatureScheme::Body(scheme) if error == VerificationError::MissingSignature => {
            return vec![format!(
                "the body has no signature in the field {}",
                scheme.signatures.join(" or ")
            )];
        }
        SignatureScheme::Form(scheme) if error == VerificationError::MissingSignature => {
            return vec![format!("the form has no field {} with the signature", scheme.signature_field)];
        }
        SignatureScheme::SharedSecret(locations) if error == VerificationError::MissingSignature => {
            let locations: Vec<String> = locations.iter().map(SecretLocation::to_string).collect();
            return vec![format!("the request must contain the secret {}", locations.join(" or "))];
        }
        SignatureScheme::Jws(scheme) if error == VerificationError::MissingSignature => {
            return vec![format!("the header {} with the signature is missing", scheme.header)];
        }
        _ => return Vec::new(),
    };
    if error == VerificationError::BodyNotSigned {
        let advice = "the signature does not cover this body; give the header content-type, and the URL with its query";
        return vec![advice.to_owned()];
    }
    let mut mistakes = Vec::new();
    let is_present = |name: &&&str| webhook.numbered_header_values(name).next().is_some();
    let mut check = |what: &str, names: &[&str]| {
        if !names.is_empty() && !names.iter().any(|name| is_present(&name)) {
            mistakes.push(format!("the header {} with the {what} is missing", names.join(" or ")));
        }
    };
    check("signature", scheme.headers);
    check("id", scheme.id_headers);
    if let Some(TimestampLocation::Header(names)) = scheme.timestamp.map(|timestamp| timestamp.location) {
        check("timestamp", names);
    }
    mistakes
}

/// The signature headers that the provider would send with this body and timestamp at `now`.
fn expected_signature(
    scheme: &SignatureScheme,
    webhook: &RawWebhook,
    secret: &str,
    now: Timestamp,
) -> Option<String> {
    let mut request = webhook.to_request()?;
    let is_signature = |name: &str| match scheme {
        SignatureScheme::Header(scheme) => {
            let timestamp = match scheme.timestamp.map(|timestamp| timestamp.location) {
                Some(TimestampLocation::Header(names)) => names,
                _ => &[],
            };
            scheme.headers.contains(&name) || timestamp.contains(&name)
        }
        SignatureScheme::Jws(scheme) => scheme.header == name,
        _ => false,
    };
    request.headers.retain(|(name, _)| !is_signature(name));
    let kept = request.headers.len();
    scheme.sign(&mut request, &Secret::new(secret), now).ok()?;
    let mut text = String::new();
    for (name, value) in &request.headers[kept..] {
        let _ = writeln!(text, "{name}: {value}");
    }
    Some(text).filter(|text| !text.is_empty())
}

impl RawWebhook {
    /// All headers.
    fn header_pairs(&self) -> impl Iterator<Item = (&HeaderName, &http::HeaderValue)> {
        self.headers().iter()
    }
}
