//! Translation of verified webhooks to events.

use bytes::Bytes;

use super::{BatchFormat, Form, VerifiedWebhook};
use crate::event::{Detail, DetailError, Event, Fields, MAX_DETAIL_TYPE_CHARS, parse_timestamp};

/// The media type of JSON.
pub const JSON_MEDIA_TYPE: &str = "application/json";
/// The media type of an HTML form.
pub(super) const FORM_MEDIA_TYPE: &str = "application/x-www-form-urlencoded";
/// Maximum length of a delivery id, and of an archived header value, in bytes.
const MAX_METADATA_BYTES: usize = 256;

/// The format of a provider's webhook bodies.
#[derive(Debug)]
pub enum BodyFormat {
    /// JSON; the `Detail` is the body.
    Json,
    /// JSON, or a form whose first field has this name and holds the JSON.
    JsonOrFormField(&'static str),
    /// A JSON array of events, which the bridge archives as received and the recorder parses.
    Batch(&'static BatchFormat),
    /// Another format, which this function translates to the `Detail`.
    Custom(fn(&VerifiedWebhook) -> Result<Detail, TranslationError>),
}

impl BodyFormat {
    /// The media type that the provider would send with `body`.
    pub fn media_type_of(&self, body: &[u8]) -> &'static str {
        match (self, body.trim_ascii_start().first()) {
            (Self::Json | Self::Batch(_), _) | (_, Some(b'{' | b'[')) => JSON_MEDIA_TYPE,
            _ => FORM_MEDIA_TYPE,
        }
    }
}

/// The location of a value in a webhook.
#[derive(Debug, Clone, Copy)]
pub enum FieldLocation {
    /// The header of this name, in lower case.
    Header(&'static str),
    /// The field of the `Detail` at this path.
    Body(&'static str),
}

/// Why a verified webhook is not a valid event. The response to the sender contains this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TranslationError {
    /// The provider does not send this media type.
    #[error("Unsupported content-type")]
    UnsupportedContentType,
    /// The body is not a JSON object that EventBridge accepts.
    #[error("Invalid JSON payload: {0}")]
    InvalidJson(#[from] DetailError),
    /// The first field of the form is not the one that holds the JSON.
    #[error("Invalid JSON payload: the form does not begin with the field '{0}'")]
    MissingFormField(&'static str),
    /// A field of the form is not UTF-8.
    #[error("Invalid form payload: not UTF-8")]
    InvalidFormUtf8,
    /// The form has no fields.
    #[error("Invalid form payload: no fields")]
    EmptyForm,
    /// The batch does not start with `[`, or is compressed.
    #[error("Invalid batch: not a JSON array")]
    InvalidBatch,
}

impl VerifiedWebhook {
    /// Whether the webhook is a batch, which the bridge archives.
    pub fn is_batch(&self) -> bool {
        self.provider.sends_batches()
    }

    /// The batch as received; `None` if it has no events, which is how a provider tests an endpoint. Checks only that
    /// the batch starts as a JSON array; the recorder parses it.
    ///
    /// # Errors
    /// When the body does not start as a JSON array, or is compressed.
    pub fn non_empty_batch(&self) -> Result<Option<&Bytes>, TranslationError> {
        let body = self.body();
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        if body.iter().find(|byte| !is_space(byte)) != Some(&b'[')
            || self.webhook.has_header("content-encoding")
        {
            return Err(TranslationError::InvalidBatch);
        }
        let tokens = body.iter().filter(|byte| !is_space(byte));
        let is_empty = [&b"[]"[..], br#"[{"msys":{}}]"#].iter().any(|empty| tokens.clone().eq(empty.iter()));
        Ok((!is_empty).then_some(body))
    }

    /// The provider's own id of a batch, as raw bytes.
    pub fn batch_id(&self) -> Option<&[u8]> {
        match self.provider.delivery_id {
            Some(FieldLocation::Header(name)) => self.webhook.header_bytes(name).filter(|id| !id.is_empty()),
            Some(FieldLocation::Body(_)) | None => None,
        }
    }

    /// The headers to archive with the body: the content type, and the headers with the event's type, delivery id and time.
    /// Omits a header whose value is longer than `MAX_METADATA_BYTES`.
    pub fn archived_headers(&self) -> Vec<(&'static str, String)> {
        let provider = self.provider;
        let fields = [provider.event_type, provider.delivery_id, provider.event_time];
        let header_names = fields.into_iter().filter_map(|field| match field? {
            FieldLocation::Header(name) => Some(name),
            FieldLocation::Body(_) => None,
        });
        let value = |name| self.webhook.header(name).filter(|value| value.len() <= MAX_METADATA_BYTES);
        ["content-type"]
            .into_iter()
            .chain(header_names)
            .filter_map(|name| Some((name, value(name)?.to_owned())))
            .collect()
    }

    pub(super) fn is_json(&self) -> bool {
        self.webhook.is_json()
    }

    pub(super) fn is_form(&self) -> bool {
        self.webhook.is_form()
    }

    /// Translates the webhook to its event.
    ///
    /// # Errors
    /// When the body does not have the provider's format, or EventBridge would reject it.
    pub fn to_event(&self) -> Result<Event, TranslationError> {
        let provider = self.provider;
        let detail = self.parse_detail()?;
        let fields = LazyFields { detail: &detail, fields: None };
        let (detail_type, delivery_id, time) = self.metadata(fields);
        Ok(Event {
            source: provider.source.to_owned(),
            detail_type,
            time,
            resources: delivery_id
                .map(|id| format!("urn:webhook:{}:{id}", provider.name))
                .into_iter()
                .collect(),
            detail,
            trace_header: None,
        })
    }

    fn parse_detail(&self) -> Result<Detail, TranslationError> {
        match self.provider.body_format {
            BodyFormat::Json | BodyFormat::JsonOrFormField(_) if self.is_json() => {
                Ok(Detail::from_bytes(self.body().clone())?)
            }
            BodyFormat::JsonOrFormField(field) if self.is_form() => {
                // Accept only the first field. The content type is not signed: an attacker who gets `&payload={...}` into a
                // signed JSON body could replay that body as a form, and the attacker's text would become the event.
                let form = Form::parse(self.body());
                let first = form.pairs().first().filter(|(name, _)| name == field.as_bytes());
                let (_, json) = first.ok_or(TranslationError::MissingFormField(field))?;
                Ok(Detail::parse(json)?)
            }
            BodyFormat::Json | BodyFormat::JsonOrFormField(_) | BodyFormat::Batch(_) => {
                Err(TranslationError::UnsupportedContentType)
            }
            BodyFormat::Custom(parse_detail) => parse_detail(self),
        }
    }

    fn metadata(&self, mut fields: LazyFields<'_>) -> (String, Option<String>, Option<jiff::Timestamp>) {
        let provider = self.provider;
        let event_type = provider.event_type.and_then(|field| self.field_text(field, &mut fields));
        let detail_type = event_type.filter(|text| is_valid_detail_type(text));
        let delivery_id = provider.delivery_id.and_then(|field| self.field_text(field, &mut fields));
        let time = match provider.event_time {
            Some(FieldLocation::Header(name)) => self.webhook.header(name).and_then(parse_timestamp),
            Some(FieldLocation::Body(path)) => fields.get().raw_json(path).and_then(parse_timestamp),
            None => None,
        };
        (
            detail_type.unwrap_or_else(|| provider.default_event_type.to_owned()),
            delivery_id.filter(|id| is_valid_delivery_id(id)),
            time,
        )
    }

    /// The event type and the delivery id from the headers, for the log line of a webhook that the bridge does not translate.
    pub fn header_metadata(&self) -> (Option<String>, Option<String>) {
        let header = |field: Option<FieldLocation>| match field {
            Some(FieldLocation::Header(name)) => self.webhook.header(name).map(str::to_owned),
            Some(FieldLocation::Body(_)) | None => None,
        };
        let event_type = header(self.provider.event_type).filter(|text| is_valid_detail_type(text));
        (event_type, header(self.provider.delivery_id).filter(|id| is_valid_delivery_id(id)))
    }

    fn field_text(&self, field: FieldLocation, fields: &mut LazyFields<'_>) -> Option<String> {
        match field {
            FieldLocation::Header(name) => self.webhook.header(name).map(str::to_owned),
            FieldLocation::Body(path) => fields.get().string(path),
        }
    }
}

/// The fields of a `Detail`, parsed on first use.
struct LazyFields<'a> {
    detail: &'a Detail,
    fields: Option<Fields<'a>>,
}

impl<'a> LazyFields<'a> {
    fn get(&mut self) -> &Fields<'a> {
        self.fields.get_or_insert_with(|| Fields::parse(self.detail))
    }
}

/// Whether EventBridge accepts the text as a `DetailType` and the text is safe in a log line.
fn is_valid_detail_type(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_DETAIL_TYPE_CHARS && !text.chars().any(char::is_control)
}

/// Whether a delivery id is valid in a URN and a log line. An event omits an invalid delivery id.
fn is_valid_delivery_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_METADATA_BYTES && text.bytes().all(|b| b.is_ascii_graphic())
}
