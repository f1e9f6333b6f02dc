//! Descriptions of signature schemes and handshakes in English.

use crate::providers::{
    Algorithm, Handshake, HeaderFormat, HeaderSignature, KeyFormat, SecretLocation, SignatureFormat,
    SignatureScheme, SignedAnswer, SignedContent, SigningPart, TimestampFormat, TimestampLocation,
};

/// The signature in a few words, for a list.
pub(super) fn summarize_signature(scheme: &SignatureScheme) -> String {
    match scheme {
        SignatureScheme::Header(scheme) => {
            let algorithms = algorithms(scheme.signatures);
            match tolerance(scheme) {
                Some(seconds) => format!("{algorithms}, at most {seconds} s old"),
                None => algorithms,
            }
        }
        SignatureScheme::SharedSecret(locations) => format!("the secret itself: {}", list(locations)),
        SignatureScheme::Jws(_) => "HMAC-SHA256 (JSON Web Signature)".to_owned(),
        SignatureScheme::Body(scheme) if scheme.format.algorithm == Algorithm::PlainSecret => {
            "the secret itself: in the body".to_owned()
        }
        SignatureScheme::Body(scheme) => format!("{} of fields of the body", scheme.format.algorithm),
        SignatureScheme::Form(scheme) => format!("{} of a field of the form", scheme.format.algorithm),
        SignatureScheme::AnyOf(schemes) => {
            schemes.iter().map(summarize_signature).collect::<Vec<_>>().join("; or ")
        }
    }
}

/// The signature in full sentences.
pub(super) fn describe_signature(scheme: &SignatureScheme) -> String {
    match scheme {
        SignatureScheme::Header(scheme) => describe_header_signature(scheme),
        SignatureScheme::SharedSecret(locations) => {
            format!("Nothing is signed: each webhook contains the secret itself, {}.", list(locations))
        }
        SignatureScheme::Jws(scheme) => format!(
            "The header `{}` contains a JSON Web Signature (HS256). Its claim `{}` is the SHA-256 of the body, in {}.",
            scheme.header, scheme.body_hash_claim, scheme.body_hash_encoding
        ),
        SignatureScheme::Body(scheme) => {
            let location = match scheme.elements {
                Some(pointer) => format!("each element of `{pointer}`"),
                None => "the body".to_owned(),
            };
            let signatures = code_list(scheme.signatures, " or ");
            if scheme.format.algorithm == Algorithm::PlainSecret {
                return format!(
                    "Nothing is signed: {location} contains the secret itself in the field {signatures}."
                );
            }
            format!(
                "{} in {}, in the field {signatures} of {location}. The signature covers the fields {}, joined by `{}`.{}",
                scheme.format.algorithm,
                scheme.encoding,
                code_list(scheme.signed_fields, ", "),
                scheme.separator,
                key(scheme.format.key_format)
            )
        }
        SignatureScheme::Form(scheme) => format!(
            "{} of the form's field `{}`, in hex after `KEY|` in the field `{}`, which may contain several, separated by `&`.{}",
            scheme.format.algorithm,
            scheme.signed_field,
            scheme.signature_field,
            key(scheme.format.key_format)
        ),
        SignatureScheme::AnyOf(schemes) => {
            schemes.iter().map(describe_signature).collect::<Vec<_>>().join(" Or: ")
        }
    }
}

/// The maximum age of a signed timestamp, in seconds; `None` if the scheme has no limit.
pub(super) fn tolerance_seconds(scheme: &SignatureScheme) -> Option<i64> {
    match scheme {
        SignatureScheme::Header(scheme) => tolerance(scheme),
        SignatureScheme::AnyOf(schemes) => schemes.first().and_then(tolerance_seconds),
        _ => None,
    }
}

fn tolerance(scheme: &HeaderSignature) -> Option<i64> {
    let tolerance = scheme.timestamp?.tolerance;
    (!tolerance.is_unlimited()).then_some(tolerance.past_seconds)
}

fn describe_header_signature(scheme: &HeaderSignature) -> String {
    let headers = code_list(scheme.headers, " or ");
    let prefixes: Vec<&str> = scheme.signatures.iter().map(|format| format.prefix).collect();
    let mut prefixes: Vec<&str> = prefixes.into_iter().filter(|prefix| !prefix.is_empty()).collect();
    prefixes.dedup();
    let after = match prefixes.is_empty() {
        true => String::new(),
        false => format!(" after {}", code_list(&prefixes, " or ")),
    };
    let several = match scheme.header_format {
        HeaderFormat::Single => String::new(),
        HeaderFormat::List(" ") => " The header may contain several values, separated by spaces.".to_owned(),
        HeaderFormat::List(separator) => {
            format!(" The header may contain several values, separated by `{separator}`.")
        }
    };
    let content = match scheme.signed_content {
        SignedContent::Parts([SigningPart::Body]) => "the raw body".to_owned(),
        SignedContent::Parts(parts) => format!("`{}`", parts.iter().map(part).collect::<String>()),
        SignedContent::Custom(_) => "content that only this provider has".to_owned(),
    };
    let timestamp = scheme.timestamp.map_or(String::new(), |timestamp| {
        let format = match timestamp.format {
            TimestampFormat::Seconds => "epoch seconds",
            TimestampFormat::Milliseconds => "epoch milliseconds",
            TimestampFormat::Rfc3339 => "RFC 3339",
            TimestampFormat::Any => "epoch seconds, epoch milliseconds or RFC 3339",
        };
        let location = match timestamp.location {
            TimestampLocation::SignatureHeader("") => "first in the signature header".to_owned(),
            TimestampLocation::SignatureHeader(prefix) => format!("in the signature header after `{prefix}`"),
            TimestampLocation::Header(names) => format!("in the header {}", code_list(names, " or ")),
            TimestampLocation::Body(pointer) => format!("in the body at `{pointer}`"),
        };
        let limit = match (timestamp.tolerance.is_unlimited(), timestamp.tolerance) {
            (true, _) => "may have any age".to_owned(),
            (false, limit) => format!(
                "may be at most {} s in the past and {} s in the future",
                limit.past_seconds, limit.future_seconds
            ),
        };
        format!(" The timestamp is {location} ({format}) and {limit}.")
    });
    let id = match scheme.id_headers {
        [] => String::new(),
        names => format!(" The id is in the header {}.", code_list(names, " or ")),
    };
    let key = scheme.signatures.first().map_or(String::new(), |format| key(format.key_format));
    format!(
        "{} of {content}, in {}{after} in the header {headers}.{several}{timestamp}{id}{key}",
        algorithms(scheme.signatures),
        scheme.encoding
    )
}

fn algorithms(formats: &[SignatureFormat]) -> String {
    let mut names: Vec<String> = formats.iter().map(|format| format.algorithm.to_string()).collect();
    names.dedup();
    names.join(" or ")
}

fn key(format: KeyFormat) -> String {
    match format {
        KeyFormat::Text => String::new(),
        KeyFormat::Hex => " The key is the secret, decoded from hex.".to_owned(),
        KeyFormat::Base64("") => " The key is the secret, decoded from base64.".to_owned(),
        KeyFormat::Base64(prefix) => {
            format!(" The key is the secret without `{prefix}`, decoded from base64.")
        }
        KeyFormat::Sha1OfPrivateKey => {
            " The key is the SHA-1 hash of the private key. The secret is `PUBLIC_KEY|PRIVATE_KEY`."
                .to_owned()
        }
        KeyFormat::P256PublicKey => " The secret is the provider's public key, in base64 or PEM.".to_owned(),
    }
}

fn part(part: &SigningPart) -> &'static str {
    match *part {
        SigningPart::Body => "{body}",
        SigningPart::Timestamp => "{timestamp}",
        SigningPart::Id => "{id}",
        SigningPart::Url => "{url}",
        SigningPart::Method => "{method}",
        SigningPart::Literal(text) => text,
    }
}

fn list(locations: &[SecretLocation]) -> String {
    locations.iter().map(SecretLocation::to_string).collect::<Vec<_>>().join(" or ")
}

fn code_list(texts: &[&str], separator: &str) -> String {
    texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(separator)
}

/// The use of a secret that a provider transmits in a handshake.
const STORED_SECRET: &str = " If the stack's secret has no value, the function stores this value. `hookbridge serve` prints it on a terminal; restart `serve` with it as the secret. No log contains it.";

pub(super) fn describe_handshake(handshake: &Handshake) -> String {
    match handshake {
        Handshake::Head => "A HEAD request is answered 200.".to_owned(),
        Handshake::QueryChallenge { method, parameter, verify_token } => {
            let token = verify_token.map_or(String::new(), |name| {
                format!(
                    " If the secret has a line `verify-token=...`, the query parameter `{name}` must have its value."
                )
            });
            format!(
                "A {method} request with the query parameter `{parameter}` is answered with the parameter's value, as text.{token}"
            )
        }
        Handshake::QueryHmac { parameter, field, prefix } => format!(
            "A GET request with the query parameter `{parameter}` is answered with JSON, whose field `{field}` is `{prefix}` and the base64 of the parameter's HMAC-SHA256."
        ),
        Handshake::QuerySignature { parameter } => format!(
            "A GET request with 20 to 32 hex digits in the query parameter `{parameter}` is answered with `PUBLIC_KEY|` and their signature, as text."
        ),
        Handshake::HeaderChallenge { header, field } => format!(
            "A GET request with the header `{header}` is answered with JSON, whose field `{field}` is the header's value."
        ),
        Handshake::HeaderEcho { header } => format!(
            "A POST request with the header `{header}` and without a signature is answered with the same header. Its value is the secret of the webhooks that follow.{STORED_SECRET}"
        ),
        Handshake::CloudEventsOptions => "An OPTIONS request with the header `WebHook-Request-Origin` is answered with `WebHook-Allowed-Origin` and `WebHook-Allowed-Rate`.".to_owned(),
        Handshake::FormPing { field } => {
            format!("A POST request with the form `{field}=NUMBER` and without a signature is answered 200.")
        }
        Handshake::SecretInBody { field } => format!(
            "A POST request whose body contains the field `{field}` and no field `type` is answered 200. Its value is the secret of the webhooks that follow.{STORED_SECRET}"
        ),
        Handshake::Signed { location, value, answer } => {
            let answer = match answer {
                SignedAnswer::Success => "like an event".to_owned(),
                SignedAnswer::Text(pointer) => format!("with the text at `{pointer}`"),
                SignedAnswer::Json { pointer, field } => {
                    format!("with JSON, whose field `{field}` is the text at `{pointer}`")
                }
                SignedAnswer::JsonWithHmac { pointer, field, hmac_field } => format!(
                    "with JSON, whose field `{field}` is the text at `{pointer}`, and `{hmac_field}` its HMAC-SHA256 in hex"
                ),
            };
            format!("A signed webhook with `{value}` in {location} is answered {answer}.")
        }
    }
}
