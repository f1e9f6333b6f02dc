//! Providers that the operator describes with settings: the function's environment variables `GENERIC_*`, or a table
//! `[provider.NAME]` in the configuration file of `hookbridge serve`.
//!
//! The settings can say what a constant of the catalogue says without code. A missing, unknown or contradictory setting is an
//! error that names it.

use std::collections::BTreeMap;

use http::Method;

use super::catalogue::standard_webhooks;
use super::{
    Algorithm, BodySignature, Encoding, FieldLocation, Handshake, HeaderFormat, HeaderSignature,
    JwsSignature, KeyFormat, Provider, SecretLocation, SignatureFormat, SignatureScheme, SignedContent,
    SignedTimestamp, SigningPart, SuccessResponse, TimestampFormat, TimestampLocation, TimestampTolerance,
};

/// The names of all settings.
pub const GENERIC_SETTINGS: [&str; 22] = [
    "source",
    "scheme",
    "header",
    "prefix",
    "encoding",
    "separator",
    "key",
    "signed",
    "timestamp_header",
    "timestamp_prefix",
    "tolerance_seconds",
    "id_header",
    "body_hash_claim",
    "signature_fields",
    "signed_fields",
    "elements",
    "event_type",
    "delivery_id",
    "event_time",
    "split",
    "handshake",
    "success",
];

/// The schemes of the setting `scheme`.
const SCHEMES: [(&str, SchemeKind); 13] = [
    ("hmac-sha1", SchemeKind::Header(Algorithm::HmacSha1)),
    ("hmac-sha256", SchemeKind::Header(Algorithm::HmacSha256)),
    ("hmac-sha512", SchemeKind::Header(Algorithm::HmacSha512)),
    ("ed25519", SchemeKind::Header(Algorithm::Ed25519)),
    ("ecdsa-p256", SchemeKind::Header(Algorithm::EcdsaP256)),
    ("token", SchemeKind::Token),
    ("basic", SchemeKind::Credentials(&[SecretLocation::Basic])),
    ("bearer", SchemeKind::Credentials(&[SecretLocation::Bearer])),
    ("standard-webhooks", SchemeKind::StandardWebhooks),
    ("jws", SchemeKind::Jws),
    ("body-hmac-sha1", SchemeKind::Body(Algorithm::HmacSha1)),
    ("body-hmac-sha256", SchemeKind::Body(Algorithm::HmacSha256)),
    ("body-token", SchemeKind::Body(Algorithm::PlainSecret)),
];

#[derive(Clone, Copy)]
enum SchemeKind {
    /// A signature in a header.
    Header(Algorithm),
    /// The secret in a header or a query parameter.
    Token,
    /// The secret in the header `Authorization`.
    Credentials(&'static [SecretLocation]),
    StandardWebhooks,
    Jws,
    /// A signature, or the secret, in the body.
    Body(Algorithm),
}

/// The settings that describe how webhooks are signed, and the schemes that have them.
fn has_setting(kind: SchemeKind, setting: &str) -> bool {
    match setting {
        "header" => matches!(kind, SchemeKind::Header(_) | SchemeKind::Token | SchemeKind::Jws),
        "prefix" | "signed" | "timestamp_header" | "timestamp_prefix" | "id_header" => {
            matches!(kind, SchemeKind::Header(_))
        }
        "tolerance_seconds" => matches!(kind, SchemeKind::Header(_) | SchemeKind::StandardWebhooks),
        "encoding" => matches!(kind, SchemeKind::Header(_) | SchemeKind::Jws | SchemeKind::Body(_)),
        "key" => matches!(kind, SchemeKind::Header(_) | SchemeKind::Body(_)),
        "separator" => matches!(kind, SchemeKind::Header(_) | SchemeKind::Body(_)),
        "body_hash_claim" => matches!(kind, SchemeKind::Jws),
        "signature_fields" | "signed_fields" | "elements" => matches!(kind, SchemeKind::Body(_)),
        _ => true,
    }
}

/// A missing, unknown or contradictory setting. The text contains no secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{setting}: {problem}")]
pub struct GenericProviderError {
    /// The setting, as the operator wrote its name.
    pub setting: String,
    /// The problem and the expected value.
    pub problem: String,
}

/// The settings of a provider, by name. An empty value counts as unset.
pub struct GenericSettings<'a> {
    values: BTreeMap<String, String>,
    /// The name of a setting as the operator writes it.
    label: &'a dyn Fn(&str) -> String,
}

impl<'a> GenericSettings<'a> {
    /// Creates settings from values by name; `label` is the name of a setting as the operator writes it.
    pub fn new(values: BTreeMap<String, String>, label: &'a dyn Fn(&str) -> String) -> Self {
        let values = values.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        Self { values, label }
    }

    fn error(&self, setting: &str, problem: impl Into<String>) -> GenericProviderError {
        GenericProviderError { setting: (self.label)(setting), problem: problem.into() }
    }

    fn get(&self, setting: &str) -> Option<&'static str> {
        self.values.get(setting).map(|value| leak(value.clone()))
    }

    fn require(&self, setting: &str, description: &str) -> Result<&'static str, GenericProviderError> {
        self.get(setting).ok_or_else(|| self.error(setting, format!("not set; it names {description}")))
    }

    /// A list separated by commas; empty if the setting is unset.
    fn list(&self, setting: &str) -> &'static [&'static str] {
        let items = self.get(setting).into_iter().flat_map(|value| value.split(',')).map(str::trim);
        Box::leak(items.filter(|item| !item.is_empty()).collect())
    }

    fn header_names(&self, setting: &str) -> Result<&'static [&'static str], GenericProviderError> {
        let names: Vec<&'static str> =
            self.list(setting).iter().map(|name| leak(name.to_ascii_lowercase())).collect();
        let is_valid = |name: &&&str| {
            let name = name.strip_suffix('*').unwrap_or(name);
            http::HeaderName::from_bytes(name.as_bytes()).is_ok()
        };
        match names.iter().find(|name| !is_valid(name)) {
            Some(name) => Err(self.error(setting, format!("'{name}' is not the name of a header"))),
            None => Ok(Box::leak(names.into_boxed_slice())),
        }
    }

    fn pointers(&self, setting: &str) -> Result<&'static [&'static str], GenericProviderError> {
        let pointers = self.list(setting);
        match pointers.iter().find(|pointer| !pointer.starts_with('/')) {
            Some(pointer) => {
                let problem = format!(
                    "'{pointer}' is not a JSON pointer, which begins with a slash, for example /data/id"
                );
                Err(self.error(setting, problem))
            }
            None => Ok(pointers),
        }
    }

    /// Builds the provider `name`. It lives as long as the process, as the providers of the catalogue do.
    ///
    /// # Errors
    /// When a setting is missing, unknown, invalid, or contradicts another.
    pub fn build(&self, name: &str) -> Result<&'static Provider, GenericProviderError> {
        if let Some(unknown) = self.values.keys().find(|key| !GENERIC_SETTINGS.contains(&key.as_str())) {
            let known = GENERIC_SETTINGS.map(|setting| (self.label)(setting)).join(", ");
            return Err(self.error(unknown, format!("unknown setting; the settings are {known}")));
        }
        let source = self.require("source", "the `source` of the events, for example acme.com")?;
        if source.starts_with("aws.") || source.chars().count() > 256 || source.chars().any(char::is_control)
        {
            return Err(self.error("source", "not a valid `source`: it must not begin with 'aws.'"));
        }
        let name: &'static str = leak(name.to_owned());
        let provider = Provider {
            name,
            title: name,
            source,
            signature_scheme: self.scheme()?,
            handshakes: self.handshakes()?,
            split: self.split()?,
            event_type: self.location("event_type")?,
            delivery_id: self.location("delivery_id")?,
            event_time: self.location("event_time")?,
            success: self.success()?,
            ..Provider::JSON
        };
        Ok(Box::leak(Box::new(provider)))
    }

    fn scheme(&self) -> Result<SignatureScheme, GenericProviderError> {
        let names = SCHEMES.map(|(name, _)| name).join(", ");
        let name = self.require("scheme", &format!("the signature scheme, one of {names}"))?;
        let kind = SCHEMES.iter().find(|(scheme, _)| *scheme == name).map(|(_, kind)| *kind);
        let kind = kind.ok_or_else(|| {
            self.error("scheme", format!("unknown scheme '{name}', expected one of {names}"))
        })?;
        if let Some(setting) = self.values.keys().find(|setting| !has_setting(kind, setting)) {
            let problem =
                format!("has no meaning with {}={name}; remove one of them", (self.label)("scheme"));
            return Err(self.error(setting, problem));
        }
        Ok(match kind {
            SchemeKind::Header(algorithm) => SignatureScheme::Header(self.header_signature(algorithm)?),
            SchemeKind::Credentials(locations) => SignatureScheme::SharedSecret(locations),
            SchemeKind::Token => SignatureScheme::SharedSecret(self.token_location()?),
            SchemeKind::StandardWebhooks => {
                let mut signature = standard_webhooks::SIGNATURE;
                if let (Some(timestamp), Some(tolerance)) = (&mut signature.timestamp, self.tolerance()?) {
                    timestamp.tolerance = tolerance;
                }
                SignatureScheme::Header(signature)
            }
            SchemeKind::Jws => {
                let headers = self.header_names("header")?;
                SignatureScheme::Jws(JwsSignature {
                    header: headers.first().ok_or_else(|| self.missing_header())?,
                    issuer: None,
                    body_hash_claim: self.require(
                        "body_hash_claim",
                        "the claim with the SHA-256 of the body, for example sha256",
                    )?,
                    body_hash_encoding: self.encoding()?,
                })
            }
            SchemeKind::Body(algorithm) => SignatureScheme::Body(self.body_signature(algorithm)?),
        })
    }

    fn missing_header(&self) -> GenericProviderError {
        self.error("header", "not set; it names the header with the signature, for example x-acme-signature")
    }

    fn token_location(&self) -> Result<&'static [SecretLocation], GenericProviderError> {
        if let Some(parameter) = self.get("header").and_then(|header| header.strip_prefix("query:")) {
            return Ok(Box::leak(Box::new([SecretLocation::QueryParameter(parameter)])));
        }
        let locations: Vec<SecretLocation> =
            self.header_names("header")?.iter().map(|name| SecretLocation::Header(name)).collect();
        if locations.is_empty() {
            return Err(self.missing_header());
        }
        Ok(Box::leak(locations.into_boxed_slice()))
    }

    fn header_signature(&self, algorithm: Algorithm) -> Result<HeaderSignature, GenericProviderError> {
        let headers = self.header_names("header")?;
        if headers.is_empty() {
            return Err(self.missing_header());
        }
        let header_format = self.separator().map_or(HeaderFormat::Single, HeaderFormat::List);
        let format = SignatureFormat {
            prefix: self.get("prefix").unwrap_or_default(),
            algorithm,
            key_format: self.key_format(algorithm)?,
        };
        let id_headers = self.header_names("id_header")?;
        let parts = self.signing_parts()?;
        let timestamp = self.timestamp(header_format)?;
        let signs = |part| parts.contains(&part);
        if !signs(SigningPart::Body) {
            return Err(self.error("signed", "{body} is missing, so that any body would be accepted"));
        }
        if signs(SigningPart::Timestamp) && timestamp.is_none() {
            let settings =
                format!("{} or {}", (self.label)("timestamp_header"), (self.label)("timestamp_prefix"));
            return Err(self.error("signed", format!("{{timestamp}} needs {settings}")));
        }
        if !signs(SigningPart::Timestamp) && timestamp.is_some() {
            let setting = match self.get("timestamp_header") {
                Some(_) => "timestamp_header",
                None => "timestamp_prefix",
            };
            let problem = format!(
                "{} has no {{timestamp}}: a timestamp that is not signed protects nothing",
                (self.label)("signed")
            );
            return Err(self.error(setting, problem));
        }
        if signs(SigningPart::Id) == id_headers.is_empty() {
            let problem = match id_headers.is_empty() {
                true => format!("not set, but {} has {{id}}", (self.label)("signed")),
                false => format!(
                    "{} has no {{id}}; for an id that is not signed, use {}=header:NAME",
                    (self.label)("signed"),
                    (self.label)("delivery_id")
                ),
            };
            return Err(self.error("id_header", problem));
        }
        if timestamp.is_none() && self.get("tolerance_seconds").is_some() {
            return Err(self.error("tolerance_seconds", "needs a signed timestamp"));
        }
        Ok(HeaderSignature {
            headers,
            header_format,
            signatures: Box::leak(Box::new([format])),
            encoding: self.encoding()?,
            signed_content: SignedContent::Parts(parts),
            timestamp,
            id_headers,
            body_hash_parameter: None,
        })
    }

    fn body_signature(&self, algorithm: Algorithm) -> Result<BodySignature, GenericProviderError> {
        let signatures = self.pointers("signature_fields")?;
        if signatures.is_empty() {
            let problem = "not set; it names the JSON pointers to the signature, for example /signature";
            return Err(self.error("signature_fields", problem));
        }
        let signed_fields = self.pointers("signed_fields")?;
        if signed_fields.is_empty() != (algorithm == Algorithm::PlainSecret) {
            let problem = match signed_fields.is_empty() {
                true => "not set; it names the JSON pointers to the signed fields, separated by commas",
                false => "a token signs no fields; remove this setting",
            };
            return Err(self.error("signed_fields", problem));
        }
        Ok(BodySignature {
            elements: self.pointers("elements")?.first().copied(),
            signatures,
            format: Box::leak(Box::new(SignatureFormat {
                prefix: "",
                algorithm,
                key_format: self.key_format(algorithm)?,
            })),
            encoding: self.encoding()?,
            signed_fields,
            separator: self.separator().unwrap_or_default(),
        })
    }

    /// The separator; `space` stands for a space, which is easily lost in a setting.
    fn separator(&self) -> Option<&'static str> {
        self.get("separator").map(|separator| if separator == "space" { " " } else { separator })
    }

    fn key_format(&self, algorithm: Algorithm) -> Result<KeyFormat, GenericProviderError> {
        let format = match self.get("key") {
            None if algorithm == Algorithm::EcdsaP256 => KeyFormat::P256PublicKey,
            None if algorithm == Algorithm::Ed25519 => KeyFormat::Hex,
            None | Some("text") => KeyFormat::Text,
            Some("hex") => KeyFormat::Hex,
            Some("base64") => KeyFormat::Base64(""),
            Some(other) => match other.strip_prefix("base64:") {
                Some(prefix) => KeyFormat::Base64(prefix),
                None => {
                    let problem =
                        format!("unknown format '{other}', expected text, hex, base64 or base64:PREFIX");
                    return Err(self.error("key", problem));
                }
            },
        };
        let is_p256 = format == KeyFormat::P256PublicKey;
        if is_p256 != (algorithm == Algorithm::EcdsaP256)
            || (algorithm == Algorithm::Ed25519 && format == KeyFormat::Text)
        {
            return Err(self.error("key", "a public key cannot have this format"));
        }
        Ok(format)
    }

    fn encoding(&self) -> Result<Encoding, GenericProviderError> {
        match self.get("encoding") {
            None | Some("hex") => Ok(Encoding::Hex),
            Some("base64") => Ok(Encoding::Base64),
            Some("base64url") => Ok(Encoding::Base64Url),
            Some(other) => {
                let problem = format!("unknown encoding '{other}', expected hex, base64 or base64url");
                Err(self.error("encoding", problem))
            }
        }
    }

    fn signing_parts(&self) -> Result<&'static [SigningPart], GenericProviderError> {
        let mut rest = self.get("signed").unwrap_or("{body}");
        let mut parts = Vec::new();
        while !rest.is_empty() {
            let Some((literal, after)) = rest.split_once('{') else {
                parts.push(SigningPart::Literal(rest));
                break;
            };
            if !literal.is_empty() {
                parts.push(SigningPart::Literal(literal));
            }
            let (name, after) =
                after.split_once('}').ok_or_else(|| self.error("signed", "a '{' without its '}'"))?;
            parts.push(match name {
                "body" => SigningPart::Body,
                "timestamp" => SigningPart::Timestamp,
                "id" => SigningPart::Id,
                "url" => SigningPart::Url,
                "method" => SigningPart::Method,
                _ => {
                    let problem = format!(
                        "unknown part {{{name}}}, expected {{body}}, {{timestamp}}, {{id}}, {{url}} or {{method}}"
                    );
                    return Err(self.error("signed", problem));
                }
            });
            rest = after;
        }
        Ok(Box::leak(parts.into_boxed_slice()))
    }

    fn timestamp(
        &self,
        header_format: HeaderFormat,
    ) -> Result<Option<SignedTimestamp>, GenericProviderError> {
        let location = match (self.header_names("timestamp_header")?, self.get("timestamp_prefix")) {
            ([], None) => return Ok(None),
            (names, None) => TimestampLocation::Header(names),
            ([], Some(prefix)) => {
                if matches!(header_format, HeaderFormat::Single) {
                    let problem = format!(
                        "needs {}, because the header contains the timestamp and the signature",
                        (self.label)("separator")
                    );
                    return Err(self.error("timestamp_prefix", problem));
                }
                // The header begins with a timestamp that has no prefix.
                TimestampLocation::SignatureHeader(if prefix == "first" { "" } else { prefix })
            }
            (_, Some(_)) => {
                let problem = format!("contradicts {}; remove one of them", (self.label)("timestamp_header"));
                return Err(self.error("timestamp_prefix", problem));
            }
        };
        let tolerance = self.tolerance()?.unwrap_or(TimestampTolerance::seconds(300));
        Ok(Some(SignedTimestamp { location, format: TimestampFormat::Any, tolerance }))
    }

    fn tolerance(&self) -> Result<Option<TimestampTolerance>, GenericProviderError> {
        let Some(text) = self.get("tolerance_seconds") else { return Ok(None) };
        let seconds = text.parse().ok().filter(|seconds| (1..=604_800).contains(seconds));
        seconds.map(TimestampTolerance::seconds).map(Some).ok_or_else(|| {
            let problem = format!("'{text}' is not a number of seconds from 1 to 604800");
            self.error("tolerance_seconds", problem)
        })
    }

    fn location(&self, setting: &str) -> Result<Option<FieldLocation>, GenericProviderError> {
        let locations = self.list(setting).iter().map(|text| {
            FieldLocation::parse(text).ok_or_else(|| {
                let problem = format!("'{text}' is not header:NAME, json:/POINTER or envelope:/POINTER");
                self.error(setting, problem)
            })
        });
        let locations = locations.collect::<Result<Vec<_>, _>>()?;
        Ok(match locations[..] {
            [] => None,
            [location] => Some(location),
            _ => Some(FieldLocation::Joined(Box::leak(locations.into_boxed_slice()))),
        })
    }

    fn split(&self) -> Result<Option<&'static str>, GenericProviderError> {
        match self.get("split") {
            // A JSON pointer to the whole body is empty, and an empty setting counts as unset.
            Some("/") => Ok(Some("")),
            Some(_) => Ok(self.pointers("split")?.first().copied()),
            None => Ok(None),
        }
    }

    fn handshakes(&self) -> Result<&'static [Handshake], GenericProviderError> {
        let handshakes = self.list("handshake").iter().map(|text| match text.split_once(':') {
            None if *text == "head" => Ok(Handshake::Head),
            None if *text == "cloudevents" => Ok(Handshake::CloudEventsOptions),
            Some(("query", parameter)) if !parameter.is_empty() => {
                Ok(Handshake::QueryChallenge { method: &Method::GET, parameter, verify_token: None })
            }
            _ => {
                let problem =
                    format!("unknown handshake '{text}', expected head, cloudevents or query:PARAMETER");
                Err(self.error("handshake", problem))
            }
        });
        Ok(Box::leak(handshakes.collect::<Result<Vec<_>, _>>()?.into_boxed_slice()))
    }

    fn success(&self) -> Result<SuccessResponse, GenericProviderError> {
        match self.get("success") {
            None | Some("202") => Ok(SuccessResponse::ACCEPTED),
            Some("200") => Ok(SuccessResponse::OK),
            Some("200-empty") => Ok(SuccessResponse { status: 200, body: "" }),
            Some("204") => Ok(SuccessResponse::NO_CONTENT),
            Some(other) => Err(self.error(
                "success",
                format!("unknown response '{other}', expected 200, 200-empty, 202 or 204"),
            )),
        }
    }
}

/// Keeps a text for the lifetime of the process. Settings are read once, at the start.
fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}
