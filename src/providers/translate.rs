//! From a verified webhook to its event.

use bytes::Bytes;

use super::{Form, VerifiedWebhook};
use crate::event::{Detail, DetailError, Event, Fields, MAX_DETAIL_TYPE_CHARS, parse_timestamp};

/// The media type of JSON.
pub const JSON_MEDIA_TYPE: &str = "application/json";
/// The media type of a form.
pub(super) const FORM_MEDIA_TYPE: &str = "application/x-www-form-urlencoded";
/// The longest delivery id that is believed to be one, in bytes.
const MAX_DELIVERY_ID: usize = 256;

/// What a provider's bodies are.
#[derive(Debug)]
pub enum BodyFormat {
    /// `application/json`; the `Detail` is the body.
    Json,
    /// The same, or a form that carries the JSON in this field.
    JsonOrFormField(&'static str),
    /// Many events in a JSON array: kept in the archive as they came, for somebody else to take apart.
    Batch,
    /// What the provider's own code makes of it.
    Custom(fn(&VerifiedWebhook) -> Result<Detail, TranslationError>),
}

impl BodyFormat {
    /// The media type a sender would give to `body`.
    pub fn media_type_of(&self, body: &[u8]) -> &'static str {
        match (self, body.trim_ascii_start().first()) {
            (Self::Json | Self::Batch, _) | (_, Some(b'{' | b'[')) => JSON_MEDIA_TYPE,
            _ => FORM_MEDIA_TYPE,
        }
    }
}

/// Where a value stands in a webhook.
#[derive(Debug, Clone, Copy)]
pub enum FieldLocation {
    /// In this header (lower case).
    Header(&'static str),
    /// In the `Detail`, at this path.
    Body(&'static str),
}

/// Why a verified webhook cannot become an event. Its sender may read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TranslationError {
    /// A media type that this provider does not send.
    #[error("Unsupported content-type")]
    UnsupportedContentType,
    /// The body is no JSON object that EventBridge takes.
    #[error("Invalid JSON payload: {0}")]
    InvalidJson(#[from] DetailError),
    /// A form without the field that should hold the JSON.
    #[error("Invalid JSON payload: the form does not begin with the field '{0}'")]
    MissingFormField(&'static str),
    /// A form whose fields are not text.
    #[error("Invalid form payload: not UTF-8")]
    InvalidFormUtf8,
    /// A form with nothing in it.
    #[error("Invalid form payload: no fields")]
    EmptyForm,
    /// A batch that does not even begin as one, or is compressed.
    #[error("Invalid batch: not a JSON array")]
    InvalidBatch,
}

impl VerifiedWebhook {
    /// Whether it is many events in one, to be kept as it came.
    pub fn is_batch(&self) -> bool {
        self.provider.sends_batches()
    }

    /// The batch, as it came; `None` when it has no events, as one by which a sender tries an endpoint. It is not read
    /// further than to its first byte: what is in it is for somebody who has time.
    ///
    /// # Errors
    /// [`TranslationError`] when the body cannot be a batch.
    pub fn non_empty_batch(&self) -> Result<Option<&Bytes>, TranslationError> {
        let body = self.body();
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        if body.iter().find(|byte| !is_space(byte)) != Some(&b'[')
            || self.webhook.has_header("content-encoding")
        {
            return Err(TranslationError::InvalidBatch);
        }
        let rest = body.iter().filter(|byte| !is_space(byte));
        let is_empty = [&b"[]"[..], br#"[{"msys":{}}]"#].iter().any(|empty| rest.clone().eq(empty.iter()));
        Ok((!is_empty).then_some(body))
    }

    /// The provider's own id of a batch, in whatever form it has one.
    pub fn batch_id(&self) -> Option<&[u8]> {
        match self.provider.delivery_id {
            Some(FieldLocation::Header(name)) => self.webhook.header_bytes(name).filter(|id| !id.is_empty()),
            Some(FieldLocation::Body(_)) | None => None,
        }
    }

    /// The headers without which nobody could say later what the body is; one that is longer than it can be is left out.
    pub fn archived_headers(&self) -> Vec<(&'static str, String)> {
        let provider = self.provider;
        let fields = [provider.event_type, provider.delivery_id, provider.event_time];
        let named = fields.into_iter().filter_map(|field| match field? {
            FieldLocation::Header(name) => Some(name),
            FieldLocation::Body(_) => None,
        });
        let value = |name| self.webhook.header(name).filter(|value| value.len() <= MAX_DELIVERY_ID);
        ["content-type"]
            .into_iter()
            .chain(named)
            .filter_map(|name| Some((name, value(name)?.to_owned())))
            .collect()
    }

    pub(super) fn has_media_type(&self, media_type: &str) -> bool {
        self.webhook.has_media_type(media_type)
    }

    /// The event that this webhook announces.
    ///
    /// # Errors
    /// [`TranslationError`] when the body is not what this provider sends.
    pub fn to_event(&self) -> Result<Event, TranslationError> {
        let provider = self.provider;
        let detail = self.detail()?;
        let fields = Lazy { detail: &detail, fields: None };
        let (detail_type, delivery_id, time) = self.meaning(fields);
        Ok(Event {
            source: provider.source.to_owned(),
            detail_type,
            time,
            resources: delivery_id
                .map(|id| format!("urn:webhook:{}:{id}", provider.name))
                .into_iter()
                .collect(),
            detail,
        })
    }

    fn detail(&self) -> Result<Detail, TranslationError> {
        match self.provider.body_format {
            BodyFormat::Json | BodyFormat::JsonOrFormField(_) if self.has_media_type(JSON_MEDIA_TYPE) => {
                Ok(Detail::of(self.body().clone())?)
            }
            BodyFormat::JsonOrFormField(field) if self.has_media_type(FORM_MEDIA_TYPE) => {
                // The first field, and no other: the content type is not signed, and a JSON body that holds
                // `&payload=` somewhere in a text must not be read as a form.
                let form = Form::parse(self.body());
                let first = form.pairs().first().filter(|(name, _)| name == field.as_bytes());
                let (_, json) = first.ok_or(TranslationError::MissingFormField(field))?;
                Ok(Detail::parse(json)?)
            }
            BodyFormat::Json | BodyFormat::JsonOrFormField(_) | BodyFormat::Batch => {
                Err(TranslationError::UnsupportedContentType)
            }
            BodyFormat::Custom(detail) => detail(self),
        }
    }

    fn meaning(&self, mut fields: Lazy<'_>) -> (String, Option<String>, Option<jiff::Timestamp>) {
        let provider = self.provider;
        let event_type = provider.event_type.and_then(|field| self.text(field, &mut fields));
        let detail_type = event_type.filter(|text| is_detail_type(text));
        let delivery_id = provider.delivery_id.and_then(|field| self.text(field, &mut fields));
        let time = match provider.event_time {
            Some(FieldLocation::Header(name)) => self.webhook.header(name).and_then(parse_timestamp),
            Some(FieldLocation::Body(path)) => fields.get().raw_json(path).and_then(parse_timestamp),
            None => None,
        };
        (
            detail_type.unwrap_or_else(|| provider.default_event_type.to_owned()),
            delivery_id.filter(|id| is_delivery_id(id)),
            time,
        )
    }

    /// The event type and the delivery id as the headers say them, for a webhook that does not become an event here.
    pub fn header_metadata(&self) -> (Option<String>, Option<String>) {
        let header = |field: Option<FieldLocation>| match field {
            Some(FieldLocation::Header(name)) => self.webhook.header(name).map(str::to_owned),
            Some(FieldLocation::Body(_)) | None => None,
        };
        let event_type = header(self.provider.event_type).filter(|text| is_detail_type(text));
        (event_type, header(self.provider.delivery_id).filter(|id| is_delivery_id(id)))
    }

    fn text(&self, field: FieldLocation, fields: &mut Lazy<'_>) -> Option<String> {
        match field {
            FieldLocation::Header(name) => self.webhook.header(name).map(str::to_owned),
            FieldLocation::Body(path) => fields.get().string(path),
        }
    }
}

/// The fields of a detail, read when the first of them is asked for.
struct Lazy<'a> {
    detail: &'a Detail,
    fields: Option<Fields<'a>>,
}

impl<'a> Lazy<'a> {
    fn get(&mut self) -> &Fields<'a> {
        self.fields.get_or_insert_with(|| Fields::parse(self.detail))
    }
}

/// A type that EventBridge takes and a log line can hold.
fn is_detail_type(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_DETAIL_TYPE_CHARS && !text.chars().any(char::is_control)
}

/// An id that can stand in a URN and a log line. Anything else is no id, and the event goes without one.
fn is_delivery_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_DELIVERY_ID && text.bytes().all(|b| b.is_ascii_graphic())
}
