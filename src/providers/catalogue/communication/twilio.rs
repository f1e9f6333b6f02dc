//! Twilio: calls, messages, the events of Twilio's debugger, and Event Streams.
//!
//! Twilio signs the URL that the operator configured, with its user and password if it has them. The signature covers the body
//! in one of two ways. For a form, the signed content includes the form's parameters. For any other body, the URL's parameter
//! `bodySHA256` must be the body's hash. This module rejects a body that is covered in neither way, even if the signature is
//! valid. Otherwise an attacker could replay a captured signature with another body.
//!
//! A webhook that is configured with GET has no body; its parameters are in the query, which the signature covers with the URL.
//!
//! Event Streams sends a JSON array, each element of which becomes an event. The `Detail` of any other JSON body is the body. The
//! `Detail` of a form is an object of strings, with an array for a repeated name. If the field `PayloadType` is `application/json`, the field `Payload` is not a string but its JSON value.

use std::cell::LazyCell;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::event::{Detail, array_elements};
use crate::providers::translate::details_of_elements;
use crate::providers::{
    BodyFormat, Details, Encoding, FieldLocation, Form, HeaderSignature, JSON_MEDIA_TYPE, Provider,
    RawWebhook, RequestUrl, SampleWebhook, SignatureFormat, SignatureScheme, SignedContent, SigningInput,
    TranslationError, VerificationError, VerifiedWebhook,
};
#[cfg(feature = "command")]
use crate::{event::RawObject, providers::form_encode};

const BODY_HASH_PARAMETER: &str = "bodySHA256";

/// Maximum number of form fields. The largest forms of Twilio have a few hundred fields.
const MAX_FIELDS: usize = 10_000;

/// Maximum number of URLs that are tried. Each costs one HMAC, even for a forged request.
const MAX_SIGNED_URLS: usize = 48;
/// Maximum number of bytes that are signed to verify one request, unless [`MIN_SIGNED_URLS`] URLs need more.
const MAX_SIGNED_BYTES: usize = 4 << 20;
/// The URL with and without its port, and with and without the slash of an empty path.
const MIN_SIGNED_URLS: usize = 4;

/// The start of the parameter `AccountSid` as it appears in the signed content of a form: its name followed by its value, which
/// begins with `AC`. Every form from Twilio has this parameter.
const SIGNED_FORM_PARAMETER: &str = "AccountSidAC";

/// Twilio signs with HMAC-SHA1 in base64; its libraries also use HMAC-SHA256 with an account's shared key. The signed
/// content is the full URL with its query. For a form, the names and values follow, sorted by name, with the distinct
/// values of each name sorted. Twilio may or may not write the port in the signed URL, so hookbridge tries both.
pub const TWILIO: Provider = Provider {
    name: "twilio",
    title: "Twilio",
    documentation: "https://www.twilio.com/docs/usage/webhooks/webhooks-security",
    secret_hint: "The auth token of the Twilio account.",
    source: "twilio.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-twilio-signature"],
        signatures: &[SignatureFormat::hmac_sha1(""), SignatureFormat::hmac_sha256("")],
        encoding: Encoding::Base64,
        signed_content: SignedContent::Custom(signing_input),
        body_hash_parameter: Some(BODY_HASH_PARAMETER),
        ..HeaderSignature::HMAC_SHA256
    }),
    sends_get: true,
    body_format: BodyFormat::Custom {
        parse: parse_details,
        #[cfg(feature = "command")]
        write: write_body,
        detail: "The `detail` of a form is an object of its fields, each a string, or an array of strings if the field is repeated. The `detail` of any other webhook is its JSON. Each element of a JSON array, which Event Streams sends, is an event.",
    },
    event_type: Some(FieldLocation::Element("/type")),
    delivery_id: Some(FieldLocation::FirstOf(&[
        FieldLocation::Element("/id"),
        FieldLocation::Header("i-twilio-idempotency-token"),
    ])),
    event_time: Some(FieldLocation::FirstOf(&[
        FieldLocation::Element("/time"),
        FieldLocation::Body("/Timestamp"),
    ])),
    samples: &[SampleWebhook {
        event_type: "twilio-webhook-lambda",
        body: "AccountSid=AC00000000000000000000000000000001&From=%2B14158675310&To=%2B18005551212&Body=Hello+there&MessageSid=SM00000000000000000000000000000001&NumMedia=0",
        ..SampleWebhook::EMPTY
    }],
    ..Provider::JSON
};

/// The byte strings that Twilio may have signed for this request.
fn signing_input(webhook: &RawWebhook, _timestamp: &str) -> Result<SigningInput, VerificationError> {
    let is_form = webhook.is_form();
    if webhook.is_get() && !webhook.body().is_empty() {
        return Err(VerificationError::BodyNotSigned);
    }
    let form_body: &[u8] = if is_form { webhook.body() } else { &[] };
    // The request is still unverified, so limit its fields.
    let form = Form::parse_bounded(form_body, MAX_FIELDS).ok_or(VerificationError::BodyNotSigned)?;
    // A field without name and value would add nothing to the signed content, so an attacker could add it to a recorded form.
    if form.pairs().iter().any(|(name, value)| name.is_empty() && value.is_empty()) {
        return Err(VerificationError::BodyNotSigned);
    }
    let suffix = Bytes::from(form.sorted_text());
    let body_hash = LazyCell::new(|| hex::encode(Sha256::digest(webhook.body())));
    let needs_body_hash = !is_form && !webhook.body().is_empty();
    let urls: Vec<_> = webhook
        .urls()
        .filter(|url| has_valid_body_hash(url, || &body_hash).unwrap_or(!needs_body_hash))
        .collect();
    let max_urls = MAX_SIGNED_URLS.min(MAX_SIGNED_BYTES / suffix.len().max(1)).max(MIN_SIGNED_URLS);
    let signed_urls = userinfos(webhook).into_iter().flat_map(|userinfo| {
        urls.iter().flat_map(move |url| signed_urls(url, &userinfo)).collect::<Vec<_>>()
    });
    let prefixes: Vec<_> = signed_urls.map(String::into_bytes).take(max_urls).collect();
    // The signed content of a form is a URL with the form's parameters after it, without separators. An attacker who recorded it
    // could send it as the URL of a GET request: a `?` in the value of a parameter would then start the query.
    let is_recorded_form = || {
        prefixes.iter().any(|prefix| memchr::memmem::find(prefix, SIGNED_FORM_PARAMETER.as_bytes()).is_some())
    };
    if prefixes.is_empty() || (webhook.is_get() && is_recorded_form()) {
        return Err(VerificationError::BodyNotSigned);
    }
    let alternatives = prefixes.into_iter().map(|prefix| vec![Bytes::from(prefix), suffix.clone()]);
    Ok(SigningInput(alternatives.collect()))
}

/// The spellings of `url` that Twilio may sign.
fn signed_urls(url: &RequestUrl, userinfo: &str) -> Vec<String> {
    let mut urls = url.with_and_without_port(userinfo).to_vec();
    if url.path == "/" {
        // If the operator configured a URL with an empty path, Twilio signs that URL without the slash that HTTP clients add.
        let without_slash = RequestUrl { path: String::new(), ..url.clone() };
        urls.extend(without_slash.with_and_without_port(userinfo));
    }
    urls
}

/// The values that the userinfo of the signed URL may have, the likeliest first, each with its trailing `@`: as sent,
/// percent-encoded, none. Twilio sends the user and password of the configured URL as HTTP credentials, and signs the URL with them as
/// they were typed.
fn userinfos(webhook: &RawWebhook) -> Vec<String> {
    let mut userinfos = Vec::new();
    let credentials = webhook.header(AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
    let credentials = credentials.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let credentials = credentials.and_then(|(_, text)| String::from_utf8(BASE64.decode(text).ok()?).ok());
    if let Some((user, password)) = credentials.as_deref().and_then(|text| text.split_once(':')) {
        // With one of these characters, the credentials would end where the URL's own host or path begins.
        if !format!("{user}{password}").contains(['/', '?', '#', '@']) {
            userinfos.push(format!("{user}:{password}@"));
        }
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        userinfos.push(format!("{}:{}@", encode(user), encode(password)));
        userinfos.dedup();
    }
    userinfos.push(String::new());
    userinfos
}

/// Whether the hash of the body in the URL is valid; `None` if the URL has no hash. A hash must be correct, unique, and at the
/// end of the URL, where Twilio writes it. The signed content has no separator between the URL and the form's parameters, so a
/// hash in the middle could be text of a form parameter that an attacker moved into the URL.
fn has_valid_body_hash<'h>(url: &RequestUrl, body_hash: impl FnOnce() -> &'h str) -> Option<bool> {
    let mut hashes = url.query_values(BODY_HASH_PARAMETER);
    let hash = hashes.next()?;
    let is_last = url.query.as_ref().is_some_and(|query| query.ends_with(hash));
    // The sender knows both hashes, so the comparison need not take constant time.
    Some(hashes.next().is_none() && is_last && hash.eq_ignore_ascii_case(body_hash()))
}

/// The `Detail` of a verified webhook, or of each event of Event Streams.
fn parse_details(webhook: &VerifiedWebhook) -> Result<Details, TranslationError> {
    if webhook.is_json() {
        match std::str::from_utf8(webhook.body()).ok().and_then(array_elements) {
            Some(elements) => details_of_elements(webhook.body(), elements),
            None => Ok(Details::One(Detail::from_bytes(webhook.body().clone())?)),
        }
    } else if webhook.is_form() {
        form_detail(&Form::parse(webhook.body())).map(Details::One)
    } else {
        Err(TranslationError::UnsupportedContentType)
    }
}

/// A body with this `Detail`: an array for an event of Event Streams, which is a CloudEvent; a form for an object of strings; and
/// otherwise JSON.
#[cfg(feature = "command")]
fn write_body(detail: &str) -> String {
    let Some(fields) = RawObject::parse(detail).filter(|fields| fields.get("specversion").is_none()) else {
        return format!("[{detail}]");
    };
    let mut pairs = Vec::new();
    for (name, value) in fields.iter() {
        match serde_json::from_str::<FieldValue>(value.get()) {
            Ok(FieldValue::One(text)) => pairs.push((name, text)),
            Ok(FieldValue::Many(texts)) => pairs.extend(texts.into_iter().map(|text| (name, text))),
            Err(_) if name == "Payload" => pairs.push((name, value.get().to_owned())),
            Err(_) => return detail.to_owned(),
        }
    }
    let encode = |(name, text): &(&str, String)| format!("{}={}", form_encode(name), form_encode(text));
    pairs.iter().map(encode).collect::<Vec<_>>().join("&")
}

/// The value of a field in the `Detail` of a form.
#[cfg(feature = "command")]
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum FieldValue {
    One(String),
    /// The values of a repeated field.
    Many(Vec<String>),
}

fn form_detail(form: &Form<'_>) -> Result<Detail, TranslationError> {
    let mut fields: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut indexes: HashMap<&str, usize> = HashMap::new();
    for (name, value) in form.pairs() {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| TranslationError::InvalidFormUtf8);
        let (name, value) = (text(name)?, text(value)?);
        let index = *indexes.entry(name).or_insert(fields.len());
        match fields.get_mut(index) {
            Some((_, values)) => values.push(value),
            None => fields.push((name, vec![value])),
        }
    }
    if fields.is_empty() {
        return Err(TranslationError::EmptyForm);
    }
    let payload_is_json = form.get("PayloadType") == Some(JSON_MEDIA_TYPE.as_bytes());
    let members = fields.iter().map(|(name, values)| {
        let value = match values[..] {
            // A payload that is not valid JSON stays a string.
            [payload] if *name == "Payload" && payload_is_json => match is_json(payload) {
                true => payload.to_owned(),
                false => json_string(payload),
            },
            [value] => json_string(value),
            _ => format!("[{}]", values.iter().map(|v| json_string(v)).collect::<Vec<_>>().join(",")),
        };
        format!("{}:{value}", json_string(name))
    });
    let object = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
    Ok(Detail::from_bytes(object.into())?)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_url_without_its_trailing_slash_verifies() {
        let signed_urls = |url: &str| {
            let webhook = RawWebhook::post(url.parse().unwrap(), HeaderMap::new(), Vec::new().into());
            let prefixes = signing_input(&webhook, "").ok().unwrap().0;
            prefixes
                .into_iter()
                .map(|pieces| String::from_utf8(pieces[0].to_vec()).unwrap())
                .collect::<Vec<_>>()
        };
        for query in ["", "?shop=1"] {
            let expected =
                ["/", ":443/", "", ":443"].map(|middle| format!("https://a.example{middle}{query}"));
            assert_eq!(signed_urls(&format!("https://a.example/{query}")), expected);
        }
        assert_eq!(signed_urls("https://a.example/in/").len(), 2, "other trailing slashes are significant");
    }

    #[test]
    fn credentials_are_tried_first_and_a_large_form_is_signed_few_times() {
        let prefixes = |password: &str, body: Vec<u8>| {
            let credentials = format!("Basic {}", BASE64.encode(format!("me:{password}")));
            let headers = RawWebhook::header_map([
                ("authorization", credentials.as_str()),
                ("content-type", "application/x-www-form-urlencoded"),
            ]);
            let webhook = RawWebhook::post("https://a.example/".parse().unwrap(), headers, body.into());
            let prefixes = signing_input(&webhook, "").ok().unwrap().0;
            prefixes
                .into_iter()
                .map(|pieces| String::from_utf8(pieces[0].to_vec()).unwrap())
                .collect::<Vec<_>>()
        };
        let small = prefixes("p-w", b"a=1".to_vec());
        assert_eq!((small.len(), small[0].as_str()), (12, "https://me:p-w@a.example/"));
        assert_eq!(
            (small[4].as_str(), small[8].as_str()),
            ("https://me:p%2Dw@a.example/", "https://a.example/")
        );
        assert_eq!(prefixes("p/w", b"a=1".to_vec())[0], "https://me:p%2Fw@a.example/", "never as sent");
        let large = [b"a=".to_vec(), vec![b'x'; MAX_SIGNED_BYTES]].concat();
        assert_eq!(prefixes("p-w", large).len(), MIN_SIGNED_URLS);
    }
}
