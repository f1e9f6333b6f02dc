//! Translation of verified webhooks to events.

use bytes::Bytes;

use super::{BatchFormat, FieldLocation, Form, VerifiedWebhook};
use crate::event::{
    Detail, DetailError, Event, Fields, MAX_DETAIL_TYPE_CHARS, array_elements, find_value, parse_timestamp,
};

/// The media type of JSON.
pub const JSON_MEDIA_TYPE: &str = "application/json";
/// The media type of an HTML form.
pub(super) const FORM_MEDIA_TYPE: &str = "application/x-www-form-urlencoded";
/// Maximum length of a delivery id, and of an archived header value, in bytes.
const MAX_METADATA_BYTES: usize = 256;
/// Maximum number of events in one webhook.
const MAX_EVENTS: usize = 10_000;

/// A resource of every event whose `Detail` is not covered by the provider's signature.
pub const BODY_NOT_SIGNED_URN: &str = "urn:hookbridge:body-not-signed";

/// The format of a provider's webhook bodies.
#[derive(Debug)]
pub enum BodyFormat {
    /// JSON; the `Detail` is the body, or an element of an array in the body.
    Json,
    /// JSON, or a form whose first field has this name and holds the JSON.
    JsonOrFormField(&'static str),
    /// A form whose only field has this name and holds JSON.
    FormField(&'static str),
    /// A JSON array of events, which the bridge archives as received and the recorder parses.
    Batch(&'static BatchFormat),
    /// Another format.
    Custom {
        /// Translates the body to the `Detail`, or to several if the body contains several events.
        parse: fn(&VerifiedWebhook) -> Result<Details, TranslationError>,
        /// Writes a body with this `Detail`.
        #[cfg(feature = "command")]
        write: fn(&str) -> String,
        /// The content of the `Detail`, as a sentence for operators.
        detail: &'static str,
    },
}

impl BodyFormat {
    /// The media type that the provider would send with `body`.
    pub fn media_type_of(&self, body: &[u8]) -> &'static str {
        match (self, body.trim_ascii_start().first()) {
            (Self::FormField(_), _) => FORM_MEDIA_TYPE,
            (Self::Json | Self::Batch(_), _) | (_, Some(b'{' | b'[')) => JSON_MEDIA_TYPE,
            _ => FORM_MEDIA_TYPE,
        }
    }
}

/// The `Detail` of each event in a webhook.
pub enum Details {
    /// The webhook is one event.
    One(Detail),
    /// The webhook contains any number of events.
    Many(Vec<Detail>),
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
    /// An element of the body's array is not a JSON object that EventBridge accepts.
    #[error("Invalid JSON payload: event {index}: {error}")]
    InvalidElement {
        /// The index of the element, from 0.
        index: usize,
        /// Why the element is invalid.
        error: DetailError,
    },
    /// The body contains more events than hookbridge accepts in one webhook.
    #[error("Invalid JSON payload: more than {MAX_EVENTS} events")]
    TooManyEvents,
    /// The first field of the form is not the one that holds the JSON.
    #[error("Invalid JSON payload: the form does not begin with the field '{0}'")]
    MissingFormField(&'static str),
    /// A field of the form is not UTF-8.
    #[error("Invalid form payload: not UTF-8")]
    InvalidFormUtf8,
    /// A field of the form does not have its format.
    #[error("Invalid form payload: the field '{0}' is invalid")]
    InvalidFormField(&'static str),
    /// The form has no fields.
    #[error("Invalid form payload: no fields")]
    EmptyForm,
    /// The batch does not start with `[`, or is compressed.
    #[error("Invalid batch: not a JSON array")]
    InvalidBatch,
}

/// Translates each element of the JSON array `elements`, which is a part of `json`, to a `Detail`, without copying it.
pub(super) fn details_of_elements(json: &Bytes, elements: Vec<&str>) -> Result<Details, TranslationError> {
    if elements.len() > MAX_EVENTS {
        return Err(TranslationError::TooManyEvents);
    }
    let details = elements.into_iter().enumerate().map(|(index, element)| {
        let detail = Detail::from_bytes(json.slice_ref(element.as_bytes()));
        detail.map_err(|error| TranslationError::InvalidElement { index, error })
    });
    Ok(Details::Many(details.collect::<Result<_, _>>()?))
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
            _ => None,
        }
    }

    /// The headers to archive with the body: the content type, and the headers with the event's type, delivery id and time.
    /// Omits a header whose value is longer than `MAX_METADATA_BYTES`.
    pub fn archived_headers(&self) -> Vec<(&'static str, String)> {
        let provider = self.provider;
        let fields = [provider.event_type, provider.delivery_id, provider.event_time];
        let header_names = fields.into_iter().flatten().flat_map(FieldLocation::headers);
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

    /// Translates the webhook to its events, in the order of the body: one event for most providers, or one for each element of
    /// the array in the body. `group` is the location of an event's group id.
    ///
    /// # Errors
    /// When the body does not have the provider's format, or EventBridge would reject it.
    pub fn to_events(&self, group: Option<FieldLocation>) -> Result<Vec<Event>, TranslationError> {
        match self.details()? {
            Details::One(detail) => Ok(vec![self.event(detail, None, group)]),
            Details::Many(details) => {
                let events = details.into_iter().enumerate();
                Ok(events.map(|(index, detail)| self.event(detail, Some(index), group)).collect())
            }
        }
    }

    /// The event with this `Detail`; `index` is its index in a webhook with several events.
    fn event(&self, detail: Detail, index: Option<usize>, group: Option<FieldLocation>) -> Event {
        let provider = self.provider;
        let mut reader = FieldReader { webhook: self, detail: &detail, index, fields: None, envelope: None };
        let event_type = provider.event_type.and_then(|field| reader.text(field));
        let detail_type = event_type.filter(|text| is_valid_detail_type(text));
        let time = provider.event_time.and_then(|field| reader.time(field));
        let delivery_id = provider.delivery_id.and_then(|field| {
            let field = reader.resolve(field)?;
            let id = reader.text(field).filter(|id| is_valid_delivery_id(id))?;
            // Events that share the id of their webhook are numbered.
            Some(match index {
                Some(index) if !field.is_in_detail() => format!("{id}#{index}"),
                _ => id,
            })
        });
        let group_id = group.and_then(|field| reader.text(field)).filter(|id| !id.is_empty());
        let urn = delivery_id.map(|id| format!("urn:webhook:{}:{id}", provider.name));
        let mark = (!provider.signature_scheme.covers_body()).then(|| BODY_NOT_SIGNED_URN.to_owned());
        Event {
            source: provider.source.to_owned(),
            detail_type: detail_type.unwrap_or_else(|| provider.default_event_type()),
            time,
            resources: urn.into_iter().chain(mark).collect(),
            detail,
            trace_header: None,
            group_id,
        }
    }

    fn details(&self) -> Result<Details, TranslationError> {
        let json = match self.provider.body_format {
            BodyFormat::Custom { parse, .. } => return parse(self),
            BodyFormat::Batch(_) => return Err(TranslationError::UnsupportedContentType),
            BodyFormat::FormField(field) => self.form_field(field)?,
            BodyFormat::JsonOrFormField(field) if !self.is_json() => self.form_field(field)?,
            BodyFormat::Json | BodyFormat::JsonOrFormField(_) if self.is_json() => self.body().clone(),
            BodyFormat::Json | BodyFormat::JsonOrFormField(_) => {
                return Err(TranslationError::UnsupportedContentType);
            }
        };
        if let Some(pointer) = self.provider.split
            && let Ok(text) = std::str::from_utf8(&json)
            && let Some(elements) = find_value(text, pointer).and_then(array_elements)
        {
            return details_of_elements(&json, elements);
        }
        Ok(Details::One(Detail::from_bytes(json)?))
    }

    /// The JSON in the form's field of this name.
    fn form_field(&self, field: &'static str) -> Result<Bytes, TranslationError> {
        if !self.is_form() {
            return Err(TranslationError::UnsupportedContentType);
        }
        // Accept only the first field. The content type is not signed: an attacker who gets `&payload={...}` into a
        // signed JSON body could replay that body as a form, and the attacker's text would become the event.
        let form = Form::parse(self.body());
        let first = form.pairs().first().filter(|(name, _)| **name == *field.as_bytes());
        let (_, json) = first.ok_or(TranslationError::MissingFormField(field))?;
        Ok(Bytes::copy_from_slice(json))
    }

    /// The event type and the delivery id from the headers, for the log line of a webhook that the bridge does not translate.
    pub fn header_metadata(&self) -> (Option<String>, Option<String>) {
        let header = |field: Option<FieldLocation>| {
            let mut names = field.into_iter().flat_map(FieldLocation::headers);
            names.find_map(|name| self.webhook.header(name)).map(str::to_owned)
        };
        let event_type = header(self.provider.event_type).filter(|text| is_valid_detail_type(text));
        (event_type, header(self.provider.delivery_id).filter(|id| is_valid_delivery_id(id)))
    }
}

/// Reads the fields of one event. Parses JSON on first use only.
struct FieldReader<'a> {
    webhook: &'a VerifiedWebhook,
    detail: &'a Detail,
    index: Option<usize>,
    fields: Option<Fields<'a>>,
    envelope: Option<Fields<'a>>,
}

impl<'a> FieldReader<'a> {
    fn fields(&mut self) -> &Fields<'a> {
        self.fields.get_or_insert_with(|| Fields::parse(self.detail))
    }

    fn envelope(&mut self) -> &Fields<'a> {
        let body = self.webhook.body();
        self.envelope.get_or_insert_with(|| Fields::parse_json(std::str::from_utf8(body).unwrap_or_default()))
    }

    /// The location that has a value, of several alternatives.
    fn resolve(&mut self, location: FieldLocation) -> Option<FieldLocation> {
        match location {
            FieldLocation::FirstOf(locations) => {
                locations.iter().copied().find(|location| self.text(*location).is_some())
            }
            location => Some(location),
        }
    }

    fn text(&mut self, location: FieldLocation) -> Option<String> {
        match location {
            FieldLocation::Header(name) => self.webhook.webhook.header(name).map(str::to_owned),
            FieldLocation::Element(_) if self.index.is_none() => None,
            FieldLocation::Body(pointer) | FieldLocation::Element(pointer) => self.fields().text(pointer),
            FieldLocation::Envelope(pointer) => self.envelope().text(pointer),
            FieldLocation::Joined(locations) => {
                let texts: Vec<_> = locations.iter().filter_map(|location| self.text(*location)).collect();
                (!texts.is_empty()).then(|| texts.join("."))
            }
            FieldLocation::FirstOf(locations) => locations.iter().find_map(|location| self.text(*location)),
            FieldLocation::FirstFieldExcept(names) => self.fields().first_name_except(names),
        }
    }

    fn time(&mut self, location: FieldLocation) -> Option<jiff::Timestamp> {
        parse_timestamp(&self.text(location)?)
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
