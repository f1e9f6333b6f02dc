//! Locations of values in a webhook, for example of its event type.

/// The location of a value in a webhook. All pointers are JSON pointers (RFC 6901).
#[derive(Debug, Clone, Copy)]
pub enum FieldLocation {
    /// The header of this name, in lower case.
    Header(&'static str),
    /// The field of the event's `Detail` at this pointer.
    Body(&'static str),
    /// The field of the whole body at this pointer, for a body that contains several events.
    Envelope(&'static str),
    /// The field of the event's `Detail` at this pointer, if the body contains several events.
    Element(&'static str),
    /// The values at these locations, joined with dots. Omits missing values.
    Joined(&'static [FieldLocation]),
    /// The value at the first of these locations that has one.
    FirstOf(&'static [FieldLocation]),
    /// The name of the first field of the event's `Detail` that is not one of these.
    FirstFieldExcept(&'static [&'static str]),
}

impl FieldLocation {
    /// Parses `header:NAME`, `json:/POINTER` or `envelope:/POINTER`. `None` for any other text.
    pub fn parse(text: &'static str) -> Option<Self> {
        match text.split_once(':')? {
            ("header", name) if !name.is_empty() => Some(Self::Header(name.to_ascii_lowercase().leak())),
            ("json", pointer) if pointer.starts_with('/') => Some(Self::Body(pointer)),
            ("envelope", pointer) if pointer.starts_with('/') => Some(Self::Envelope(pointer)),
            _ => None,
        }
    }

    /// Whether the value is always in the event's `Detail`.
    pub(super) fn is_in_detail(self) -> bool {
        match self {
            Self::Header(_) | Self::Envelope(_) => false,
            Self::Body(_) | Self::Element(_) | Self::FirstFieldExcept(_) => true,
            Self::Joined(locations) | Self::FirstOf(locations) => {
                locations.iter().all(|location| location.is_in_detail())
            }
        }
    }

    /// The header that contains the value, or a part of it, in every webhook; the first of alternative headers.
    #[cfg(feature = "command")]
    pub fn first_header(self) -> Option<&'static str> {
        match self {
            Self::FirstOf(locations) => {
                // `send` creates webhooks with one event, which have no elements.
                let mut locations = locations.iter().filter(|location| !matches!(location, Self::Element(_)));
                let first = locations.next()?.first_header()?;
                locations.all(|location| location.first_header().is_some()).then_some(first)
            }
            location => location.headers().first().copied(),
        }
    }

    /// The headers from which the value is read.
    pub fn headers(self) -> Vec<&'static str> {
        match self {
            Self::Header(name) => vec![name],
            Self::Joined(locations) | Self::FirstOf(locations) => {
                locations.iter().flat_map(|location| location.headers()).collect()
            }
            Self::Body(_) | Self::Envelope(_) | Self::Element(_) | Self::FirstFieldExcept(_) => Vec::new(),
        }
    }
}

/// Writes the location as documentation for operators.
impl std::fmt::Display for FieldLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |locations: &[Self], separator: &str| {
            locations.iter().map(Self::to_string).collect::<Vec<_>>().join(separator)
        };
        match self {
            Self::Header(name) => write!(f, "header `{name}`"),
            Self::Body(pointer) | Self::Element(pointer) => write!(f, "`{pointer}`"),
            Self::Envelope(pointer) => write!(f, "`{pointer}` of the whole body"),
            Self::Joined(locations) => f.write_str(&list(locations, " and ")),
            Self::FirstOf(locations) => f.write_str(&list(locations, ", else ")),
            Self::FirstFieldExcept(names) => {
                write!(f, "name of the first field except `{}`", names.join("`, `"))
            }
        }
    }
}
