//! Handshakes: requests with which a provider tests an endpoint before it sends events to it.
//!
//! A handshake is answered and never published. A provider signs some handshakes; these are answered after their signature was
//! verified. An answer repeats text of the request only if the text is short and consists of characters that have no meaning in
//! HTML or JSON. Otherwise an attacker could use the endpoint to reflect content.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use percent_encoding::percent_decode_str;
use serde_json::json;
use subtle::ConstantTimeEq as _;

use super::scheme::Algorithm;
use super::{FieldLocation, Provider, RawWebhook, VerificationError, VerifiedWebhook};
use crate::event::{Fields, find_value};
use crate::secrets::Secret;

/// Maximum length of a text that an answer repeats, in bytes.
const MAX_CHALLENGE_BYTES: usize = 512;

/// The start of the line of a secret that contains Meta's verify token instead of a key.
pub(super) const VERIFY_TOKEN_LINE: &[u8] = b"verify-token=";

/// A request with which a provider tests an endpoint.
#[derive(Debug, Clone, Copy)]
pub enum Handshake {
    /// An unsigned HEAD request, which is answered 200.
    Head,
    /// An unsigned request with a text in a parameter of its query, which the answer repeats as plain text.
    QueryChallenge {
        /// The method of the request.
        method: &'static Method,
        /// The parameter with the text.
        parameter: &'static str,
        /// The parameter with a token of the operator; `None` if the provider sends none. The token is compared with the line
        /// `verify-token=...` of the secret, if the secret has such a line.
        verify_token: Option<&'static str>,
    },
    /// An unsigned GET request with a text in a parameter of its query. The answer is a JSON object with the HMAC-SHA256 of the
    /// text.
    QueryHmac {
        /// The parameter with the text.
        parameter: &'static str,
        /// The field of the answer.
        field: &'static str,
        /// The text before the base64 of the HMAC.
        prefix: &'static str,
    },
    /// An unsigned GET request with 20 to 32 hex digits in this parameter of its query. The answer is the public key, `|` and the
    /// signature of the digits. A webhook with such digits as its payload is no event, so the answer cannot be used to forge one.
    QuerySignature {
        /// The parameter with the digits.
        parameter: &'static str,
    },
    /// An unsigned GET request with a text in a header. The answer is a JSON object with the text in this field.
    HeaderChallenge {
        /// The header with the text.
        header: &'static str,
        /// The field of the answer.
        field: &'static str,
    },
    /// An unsigned POST request with this header, which the answer repeats. The value is the secret of the webhooks that follow.
    HeaderEcho {
        /// The header.
        header: &'static str,
    },
    /// An unsigned OPTIONS request of CloudEvents' HTTP webhook specification.
    CloudEventsOptions,
    /// An unsigned POST request with a form whose only field has this name and a number as its value.
    FormPing {
        /// The name of the field.
        field: &'static str,
    },
    /// A POST request with a JSON object that has this field and no field `type`. Its value is the secret of the webhooks that
    /// follow.
    SecretInBody {
        /// The name of the field.
        field: &'static str,
    },
    /// A signed POST request.
    Signed {
        /// The location of the value that distinguishes the handshake from an event.
        location: FieldLocation,
        /// That value.
        value: &'static str,
        /// The answer.
        answer: SignedAnswer,
    },
}

/// The answer to a signed handshake. All pointers are JSON pointers into the body.
#[derive(Debug, Clone, Copy)]
pub enum SignedAnswer {
    /// The provider's response to an event.
    Success,
    /// The text at this pointer, as plain text.
    Text(&'static str),
    /// A JSON object with the text at `pointer` in `field`.
    Json {
        /// Pointer to the text.
        pointer: &'static str,
        /// The field of the answer.
        field: &'static str,
    },
    /// A JSON object with the text at `pointer`, and the hex HMAC-SHA256 of the text.
    JsonWithHmac {
        /// Pointer to the text.
        pointer: &'static str,
        /// The field with the text.
        field: &'static str,
        /// The field with the HMAC.
        hmac_field: &'static str,
    },
}

/// The response to a handshake.
#[derive(Clone)]
pub struct HandshakeResponse {
    /// The status code.
    pub status: u16,
    /// The media type of the body.
    pub media_type: &'static str,
    /// Headers besides the content type.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// The next step of the operator; `None` if there is none.
    pub instruction: Option<&'static str>,
    /// The secret that the provider transmitted for the operator to store; `None` if it transmitted none.
    pub transmitted_secret: Option<Secret>,
}

/// Omits the values, some of which are secrets.
impl std::fmt::Debug for HandshakeResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HandshakeResponse({})", self.status)
    }
}

impl HandshakeResponse {
    fn text(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            media_type: "text/plain; charset=utf-8",
            headers: vec![("x-content-type-options", "nosniff".into())],
            body: body.into(),
            instruction: None,
            transmitted_secret: None,
        }
    }

    fn json(body: &serde_json::Value) -> Self {
        Self { media_type: "application/json", ..Self::text(body.to_string()) }
    }
}

/// An unsigned handshake, ready to be answered.
pub struct UnsignedHandshake {
    handshake: Handshake,
    /// The text that the answer repeats or signs; empty if there is none.
    challenge: String,
    /// The operator's token in the request; `None` if there is none.
    verify_token: Option<Vec<u8>>,
}

impl Provider {
    /// The unsigned handshake in a request; `None` if the request is none.
    pub fn find_unsigned_handshake(&self, webhook: &RawWebhook) -> Option<UnsignedHandshake> {
        let is_possible = |handshake: &&Handshake| {
            !handshake.has_no_signature() || !self.signature_scheme.is_present(webhook)
        };
        self.handshakes.iter().filter(is_possible).find_map(|handshake| handshake.find(webhook))
    }

    /// Whether the provider sends unsigned handshakes with this method.
    pub(super) fn has_unsigned_handshake_with(&self, method: &Method) -> bool {
        let is_signed = |handshake: &Handshake| matches!(handshake, Handshake::Signed { .. });
        self.handshakes.iter().any(|handshake| handshake.method() == method && !is_signed(handshake))
    }
}

impl Handshake {
    fn method(&self) -> &'static Method {
        match self {
            Self::Head => &Method::HEAD,
            Self::QueryChallenge { method, .. } => method,
            Self::QueryHmac { .. } | Self::QuerySignature { .. } | Self::HeaderChallenge { .. } => {
                &Method::GET
            }
            Self::CloudEventsOptions => &Method::OPTIONS,
            Self::HeaderEcho { .. }
            | Self::FormPing { .. }
            | Self::SecretInBody { .. }
            | Self::Signed { .. } => &Method::POST,
        }
    }

    /// Whether a webhook with a signature is never this handshake.
    fn has_no_signature(&self) -> bool {
        matches!(self, Self::HeaderEcho { .. } | Self::FormPing { .. })
    }

    /// The handshake in an unverified request; `None` if the request is not this handshake, or its text must not be repeated.
    fn find(self, webhook: &RawWebhook) -> Option<UnsignedHandshake> {
        if webhook.method() != self.method() {
            return None;
        }
        let header = |name: &str| webhook.header(name).map(str::to_owned);
        let mut verify_token = None;
        let challenge = match self {
            Self::Head => String::new(),
            Self::QueryChallenge { parameter, verify_token: token_parameter, .. } => {
                verify_token = token_parameter.and_then(|name| query_value(webhook, name));
                challenge_text(query_value(webhook, parameter)?)?
            }
            Self::QueryHmac { parameter, .. } => challenge_text(query_value(webhook, parameter)?)?,
            Self::QuerySignature { parameter } => {
                let digits = challenge_text(query_value(webhook, parameter)?)?;
                let is_challenge = (20..=32).contains(&digits.len())
                    && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                is_challenge.then_some(digits)?
            }
            Self::HeaderChallenge { header: name, .. } | Self::HeaderEcho { header: name } => {
                challenge_text(header(name)?.into())?
            }
            Self::CloudEventsOptions => challenge_text(header("webhook-request-origin")?.into())?,
            Self::FormPing { field } => {
                let body = std::str::from_utf8(webhook.body()).ok()?;
                let number = body.trim().strip_prefix(field)?.strip_prefix('=')?;
                let is_number =
                    (1..=20).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
                is_number.then(String::new)?
            }
            Self::SecretInBody { field } => {
                let body = std::str::from_utf8(webhook.body()).ok().filter(|body| body.len() <= 1024)?;
                let fields = Fields::parse_json(body);
                let token = fields.text(&format!("/{field}"))?;
                fields.raw_json("/type").is_none().then_some(())?;
                challenge_text(token.into())?
            }
            Self::Signed { .. } => return None,
        };
        Some(UnsignedHandshake { handshake: self, challenge, verify_token })
    }
}

impl UnsignedHandshake {
    /// Whether the answer depends on the secret.
    pub fn needs_secret(&self) -> bool {
        matches!(
            self.handshake,
            Handshake::QueryHmac { .. }
                | Handshake::QuerySignature { .. }
                | Handshake::QueryChallenge { verify_token: Some(_), .. }
        )
    }

    /// The response; `secret` is unused unless [`Self::needs_secret`].
    ///
    /// # Errors
    /// When the request contains the wrong token.
    pub fn respond(self, secret: Option<&Secret>) -> Result<HandshakeResponse, VerificationError> {
        let challenge = self.challenge;
        Ok(match self.handshake {
            Handshake::QueryChallenge { .. } => {
                // A secret without a verify token accepts every token.
                if let Some(expected) = secret.and_then(expected_verify_token)
                    && !bool::from(self.verify_token.unwrap_or_default().ct_eq(&expected))
                {
                    return Err(VerificationError::SignatureMismatch);
                }
                HandshakeResponse::text(challenge)
            }
            Handshake::QueryHmac { field, prefix, .. } => {
                // The challenge cannot be a JSON object, so the answer is no signature of a webhook.
                let key = secret.and_then(|secret| super::KeyFormat::Text.keys(secret).next());
                let key = key.ok_or(VerificationError::SignatureMismatch)?;
                let mac = BASE64.encode(Algorithm::HmacSha256.compute(&key, &[Bytes::from(challenge)]));
                HandshakeResponse::json(&json!({ field: format!("{prefix}{mac}") }))
            }
            Handshake::QuerySignature { .. } => {
                let mut lines = secret.iter().flat_map(|secret| secret.expose().split(|byte| *byte == b'\n'));
                let first_key = lines.find_map(|line| {
                    let key = super::KeyFormat::Sha1OfPrivateKey.keys(&Secret::new(line)).next()?;
                    let public_key = line.split(|byte| *byte == b'|').next()?.trim_ascii();
                    Some((public_key, key))
                });
                let (public_key, key) = first_key.ok_or(VerificationError::SignatureMismatch)?;
                let signature = hex::encode(Algorithm::HmacSha1.compute(&key, &[Bytes::from(challenge)]));
                HandshakeResponse::text(format!("{}|{signature}", String::from_utf8_lossy(public_key)))
            }
            Handshake::HeaderChallenge { field, .. } => HandshakeResponse::json(&json!({ field: challenge })),
            Handshake::HeaderEcho { header } => HandshakeResponse {
                transmitted_secret: Some(Secret::new(challenge.as_str())),
                headers: vec![(header, challenge)],
                instruction: Some(
                    "the provider transmitted the webhook's secret; compare it with the one that its API returned",
                ),
                ..HandshakeResponse::text("")
            },
            Handshake::CloudEventsOptions => HandshakeResponse {
                headers: vec![
                    ("allow", "POST, OPTIONS".into()),
                    ("webhook-allowed-origin", challenge),
                    ("webhook-allowed-rate", "*".into()),
                ],
                ..HandshakeResponse::text("")
            },
            Handshake::SecretInBody { .. } => HandshakeResponse {
                transmitted_secret: Some(Secret::new(challenge)),
                instruction: Some(
                    "the provider transmitted its secret; enter it at the provider to confirm the endpoint",
                ),
                ..HandshakeResponse::text("")
            },
            Handshake::Head | Handshake::FormPing { .. } | Handshake::Signed { .. } => {
                HandshakeResponse::text("")
            }
        })
    }
}

impl VerifiedWebhook {
    /// The response to a signed handshake; `None` if the webhook is an event.
    pub fn handshake_response(&self) -> Option<HandshakeResponse> {
        let success = self.provider.success;
        self.provider.handshakes.iter().find_map(|handshake| {
            let Handshake::Signed { location, value, answer } = *handshake else { return None };
            let body = std::str::from_utf8(self.body()).ok()?;
            let actual = match location {
                FieldLocation::Header(name) => self.webhook.header(name).map(str::to_owned),
                FieldLocation::Body(pointer) => Fields::parse_json(body).text(pointer),
                _ => None,
            };
            if actual.as_deref() != Some(value) {
                return None;
            }
            let text = |pointer: &str| {
                let text: String = serde_json::from_str(find_value(body, pointer)?).ok()?;
                challenge_text(text.into())
            };
            Some(match answer {
                SignedAnswer::Success => {
                    HandshakeResponse { status: success.status, ..HandshakeResponse::text(success.body) }
                }
                SignedAnswer::Text(pointer) => HandshakeResponse::text(text(pointer)?),
                SignedAnswer::Json { pointer, field } => {
                    HandshakeResponse::json(&json!({ field: text(pointer)? }))
                }
                SignedAnswer::JsonWithHmac { pointer, field, hmac_field } => {
                    let text = text(pointer)?;
                    let mac =
                        Algorithm::HmacSha256.compute(self.key.as_ref()?.expose(), &[text.clone().into()]);
                    HandshakeResponse::json(&json!({ field: text, hmac_field: hex::encode(mac) }))
                }
            })
        })
    }
}

/// The decoded value of a parameter of the query; `None` unless it occurs exactly once.
fn query_value(webhook: &RawWebhook, parameter: &str) -> Option<Vec<u8>> {
    let url = webhook.urls().next()?;
    let mut values = url.query_values(parameter);
    let value = values.next().filter(|_| values.next().is_none())?;
    Some(percent_decode_str(&value.replace('+', " ")).collect())
}

/// The text of a challenge, if an answer may repeat it.
fn challenge_text(bytes: Vec<u8>) -> Option<String> {
    let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b" -_.~=+/:,;*@!".contains(byte);
    let is_safe = (1..=MAX_CHALLENGE_BYTES).contains(&bytes.len()) && bytes.iter().all(is_safe);
    is_safe.then(|| String::from_utf8(bytes).ok())?
}

/// The operator's verify token in the secret; `None` if the secret has no line with one.
fn expected_verify_token(secret: &Secret) -> Option<Vec<u8>> {
    let mut lines = secret.expose().split(|byte| *byte == b'\n');
    let token = lines.find_map(|line| line.strip_prefix(VERIFY_TOKEN_LINE))?;
    Some(token.trim_ascii_end().to_vec())
}
