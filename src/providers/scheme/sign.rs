//! Signs webhooks as a provider does, for `hookbridge send` and for tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use sha2::{Digest as _, Sha256};

use super::algorithm::concatenate;
use super::key::P256_KEY_INFO;
use super::{
    Algorithm, HeaderFormat, HeaderSignature, KeyFormat, SecretLocation, SignatureScheme, TimestampLocation,
    VerificationError, shared_secret,
};
use crate::providers::{RawWebhook, RequestUrl};
use crate::secrets::Secret;

/// A webhook request to sign and send.
#[derive(Clone)]
pub struct WebhookRequest {
    /// The method, usually POST.
    pub method: Method,
    /// The URL to send to.
    pub url: RequestUrl,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl WebhookRequest {
    /// A POST request.
    pub fn post(url: RequestUrl, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, url, headers: Vec::new(), body: body.into() }
    }

    /// Adds a header.
    pub fn add_header(&mut self, name: &str, value: impl Into<String>) {
        self.headers.push((name.to_owned(), value.into()));
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The request as it arrives.
    pub fn to_raw(&self) -> RawWebhook {
        let headers = RawWebhook::header_map(self.headers.iter().map(|(name, value)| (name, value)));
        RawWebhook::new(self.method.clone(), self.url.clone().into(), headers, self.body.clone())
    }

    fn add_query_parameter(&mut self, name: &str, value: &str) {
        let query = self.url.query.take().map_or(String::new(), |query| query + "&");
        self.url.query = Some(format!("{query}{name}={value}"));
    }
}

impl SignatureScheme {
    /// The value of the signature header that the provider would send with `request`.
    ///
    /// # Errors
    /// As for [`Self::sign`].
    pub fn signature(
        &self,
        mut request: WebhookRequest,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<String, VerificationError> {
        self.sign(&mut request, secret, now)?;
        request.headers.pop().map(|(_, value)| value).ok_or(VerificationError::MissingSignature)
    }

    /// Signs `request` with `secret` at the time `now`, as the provider does. For an algorithm with a public key, `secret` is the
    /// private key of a [`GeneratedSecret`].
    ///
    /// # Errors
    /// When the provider cannot sign such a request, or the secret contains no key.
    pub fn sign(
        &self,
        request: &mut WebhookRequest,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<(), VerificationError> {
        let format = self.signature_formats().first().ok_or(VerificationError::MissingSignature)?;
        let key_format =
            if format.algorithm.has_public_key() { KeyFormat::Base64("") } else { format.key_format };
        let key = key_format.keys(secret).next().ok_or(VerificationError::SignatureMismatch)?;
        match self {
            Self::Header(scheme) => scheme.sign(request, &key, now),
            Self::SharedSecret(locations) => add_secret(locations, request, &key),
            Self::Jws(scheme) => {
                let signature = scheme.sign(&request.body, &key);
                request.add_header(scheme.header, signature);
                Ok(())
            }
            Self::AnyOf(schemes) => {
                schemes.first().ok_or(VerificationError::MissingSignature)?.sign(request, secret, now)
            }
            Self::Form(scheme) => {
                let key_name = String::from_utf8_lossy(secret.expose());
                let key_name = key_name.split('|').next().unwrap_or_default();
                let signed = scheme.sign(&request.body, key_name, &key);
                request.body = signed.ok_or(VerificationError::MissingSignature)?.into();
                Ok(())
            }
            Self::Body(scheme) => {
                let body = std::str::from_utf8(&request.body).ok();
                let signed = body.and_then(|body| scheme.sign(body, &key));
                request.body = signed.ok_or(VerificationError::MissingSignature)?.into();
                Ok(())
            }
        }
    }
}

/// Adds the secret at the first location that can contain it.
fn add_secret(
    locations: &[SecretLocation],
    request: &mut WebhookRequest,
    secret: &[u8],
) -> Result<(), VerificationError> {
    let text = std::str::from_utf8(secret).ok();
    let location = locations.iter().find(|location| match location {
        SecretLocation::Basic => true,
        SecretLocation::Bearer => text.is_some_and(shared_secret::is_token),
        SecretLocation::Header(_) | SecretLocation::QueryParameter(_) => text.is_some(),
    });
    let location = location.ok_or(VerificationError::MalformedSignature)?;
    let text = text.unwrap_or_default();
    match location {
        SecretLocation::Basic => {
            request.add_header("authorization", format!("Basic {}", BASE64.encode(secret)));
        }
        SecretLocation::Bearer => request.add_header("authorization", format!("Bearer {text}")),
        SecretLocation::Header(name) => request.add_header(name, text),
        SecretLocation::QueryParameter(name) => {
            request.add_query_parameter(name, &utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
        }
    }
    Ok(())
}

impl HeaderSignature {
    fn sign(
        &self,
        request: &mut WebhookRequest,
        key: &[u8],
        now: Timestamp,
    ) -> Result<(), VerificationError> {
        let is_form = request.to_raw().is_form();
        if let Some(parameter) = self.body_hash_parameter.filter(|_| !is_form && !request.body.is_empty()) {
            let hash = hex::encode(Sha256::digest(&request.body));
            if request.url.query_values(parameter).next().is_none() {
                request.add_query_parameter(parameter, &hash);
            }
        }
        if let Some(name) = self.id_headers.first().filter(|name| request.header(name).is_none()) {
            request.add_header(name, format!("msg_{}", uuid::Uuid::new_v4().simple()));
        }
        let timestamp = self.timestamp.map(|timestamp| timestamp.format.write(now));
        let timestamp = timestamp.unwrap_or_default();
        let mut items = Vec::new();
        match self.timestamp.map(|timestamp| timestamp.location) {
            Some(TimestampLocation::Header(names)) => {
                let name = names.first().ok_or(VerificationError::MalformedSignature)?;
                request.add_header(name, timestamp.clone());
            }
            Some(TimestampLocation::SignatureHeader(prefix)) => items.push(format!("{prefix}{timestamp}")),
            Some(TimestampLocation::Body(_)) | None => {}
        }
        let input = self.signing_input(&request.to_raw(), &timestamp)?;
        let pieces = input.0.first().ok_or(VerificationError::BodyNotSigned)?;
        let format = self.signatures.first().ok_or(VerificationError::MissingSignature)?;
        let signature = match format.algorithm {
            Algorithm::Ed25519 | Algorithm::EcdsaP256 => sign_with_key_pair(format.algorithm, key, pieces)
                .ok_or(VerificationError::SignatureMismatch)?,
            algorithm => algorithm.compute(key, pieces),
        };
        items.push(format!("{}{}", format.prefix, self.encoding.encode(&signature)));
        let separator = match self.header_format {
            HeaderFormat::Single => "",
            HeaderFormat::List(separator) => separator,
        };
        let header = self.headers.first().ok_or(VerificationError::MissingSignature)?;
        request.add_header(&header.replace('*', "1"), items.join(separator));
        Ok(())
    }
}

/// A random secret in the form of a provider's secrets.
pub struct GeneratedSecret {
    /// The secret that verifies webhooks.
    pub verifying: String,
    /// The secret that signs webhooks: the private key (the base64 of a PKCS #8 document) if `verifying` is a public key, otherwise
    /// the same secret.
    pub signing: String,
}

impl SignatureScheme {
    /// Generates a secret for development and tests; `None` if the operating system has no random numbers.
    pub fn generate_secret(&self) -> Option<GeneratedSecret> {
        let format = self.signature_formats().first()?;
        let random = SystemRandom::new();
        let (public, private) = match format.algorithm {
            Algorithm::Ed25519 => {
                let document = Ed25519KeyPair::generate_pkcs8(&random).ok()?;
                let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).ok()?;
                (pair.public_key().as_ref().to_vec(), Some(document))
            }
            Algorithm::EcdsaP256 => {
                let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
                let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).ok()?;
                let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).ok()?;
                (pair.public_key().as_ref().to_vec(), Some(document))
            }
            _ => {
                let mut bytes = vec![0; 32];
                random.fill(&mut bytes).ok()?;
                (bytes, None)
            }
        };
        let verifying = match format.key_format {
            KeyFormat::Text if *self.locations() == [SecretLocation::Basic] => {
                format!("dev:{}", hex::encode(public))
            }
            KeyFormat::Text => format!("dev-{}", hex::encode(public)),
            KeyFormat::Hex => hex::encode(public),
            KeyFormat::Base64(prefix) => format!("{prefix}{}", BASE64.encode(public)),
            KeyFormat::Sha1OfPrivateKey => format!("dev|{}", hex::encode(public)),
            KeyFormat::P256PublicKey => BASE64.encode([P256_KEY_INFO, &public].concat()),
        };
        let signing = private.map_or(verifying.clone(), |document| BASE64.encode(document.as_ref()));
        Some(GeneratedSecret { verifying, signing })
    }

    fn locations(&self) -> &'static [SecretLocation] {
        match self {
            Self::SharedSecret(locations) => locations,
            _ => &[],
        }
    }
}

fn sign_with_key_pair(algorithm: Algorithm, pkcs8: &[u8], pieces: &[Bytes]) -> Option<Vec<u8>> {
    let message = concatenate(pieces);
    if algorithm == Algorithm::Ed25519 {
        return Some(Ed25519KeyPair::from_pkcs8(pkcs8).ok()?.sign(&message).as_ref().to_vec());
    }
    let random = SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &random).ok()?;
    Some(pair.sign(&random, &message).ok()?.as_ref().to_vec())
}
