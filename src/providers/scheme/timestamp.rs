//! Signed timestamps, which protect a webhook from being replayed.

use jiff::Timestamp;

use super::VerificationError;

/// The timestamp that a signature covers.
#[derive(Debug, Clone, Copy)]
pub struct SignedTimestamp {
    /// The location of the timestamp.
    pub location: TimestampLocation,
    /// The format of the timestamp.
    pub format: TimestampFormat,
    /// Maximum difference between the timestamp and the time of arrival.
    pub tolerance: TimestampTolerance,
}

/// The location of a signed timestamp.
#[derive(Debug, Clone, Copy)]
pub enum TimestampLocation {
    /// The signature header, after this prefix; with an empty prefix, the first item of the header.
    SignatureHeader(&'static str),
    /// The first of these headers that is present.
    Header(&'static [&'static str]),
    /// The field of the body at this JSON pointer. hookbridge reads the field after it verified the signature.
    Body(&'static str),
}

/// The format of a signed timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampFormat {
    /// Seconds since the epoch.
    Seconds,
    /// Milliseconds since the epoch.
    Milliseconds,
    /// RFC 3339, for example `2026-11-30T09:00:00Z`.
    Rfc3339,
    /// Any of the other formats.
    Any,
}

/// Maximum difference between a signed timestamp and the time of arrival, in seconds, inclusive.
#[derive(Debug, Clone, Copy)]
pub struct TimestampTolerance {
    /// Maximum age of the timestamp.
    pub past_seconds: i64,
    /// Maximum time by which the timestamp may be later than the time of arrival.
    pub future_seconds: i64,
}

impl TimestampTolerance {
    /// The same tolerance in both directions.
    pub const fn seconds(seconds: i64) -> Self {
        Self { past_seconds: seconds, future_seconds: seconds }
    }

    /// No limit: the provider retries with the signature of the first attempt, or documents no limit.
    pub const UNLIMITED: Self = Self::seconds(i64::MAX);

    /// Whether every timestamp is accepted.
    pub fn is_unlimited(self) -> bool {
        self.past_seconds == i64::MAX
    }
}

impl SignedTimestamp {
    /// A timestamp in epoch seconds in the signature header, after `prefix`, at most 300 s old or early.
    pub const fn in_signature_header(prefix: &'static str) -> Self {
        Self {
            location: TimestampLocation::SignatureHeader(prefix),
            format: TimestampFormat::Seconds,
            tolerance: TimestampTolerance::seconds(300),
        }
    }

    /// A timestamp in epoch seconds in a header of its own, at most 300 s old or early.
    pub const fn in_header(names: &'static [&'static str]) -> Self {
        Self { location: TimestampLocation::Header(names), ..Self::in_signature_header("") }
    }

    /// Checks a timestamp, as written, against `now`.
    pub(in crate::providers) fn check(&self, text: &str, now: Timestamp) -> Result<(), VerificationError> {
        let milliseconds = self.format.parse(text).ok_or(VerificationError::MalformedSignature)?;
        let age = floor_seconds(now.as_millisecond()) - floor_seconds(milliseconds);
        let TimestampTolerance { past_seconds, future_seconds } = self.tolerance;
        if age > past_seconds || -age > future_seconds {
            return Err(VerificationError::TimestampOutOfTolerance);
        }
        Ok(())
    }
}

/// Whole seconds, because most providers sign whole seconds: a timestamp is exactly as old as their difference.
fn floor_seconds(milliseconds: i64) -> i64 {
    milliseconds.div_euclid(1000)
}

impl TimestampFormat {
    /// The time in milliseconds since the epoch.
    pub(in crate::providers) fn parse(self, text: &str) -> Option<i64> {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        match self {
            Self::Seconds => {
                (is_number && text.len() <= 12).then(|| text.parse::<i64>().ok())?.map(|s| s * 1000)
            }
            Self::Milliseconds => (is_number && text.len() <= 15).then(|| text.parse().ok())?,
            Self::Rfc3339 => text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
            // A number of seconds with 12 digits is later than the year 5000, so 12 and more digits are milliseconds.
            Self::Any if is_number && text.len() < 12 => Self::Seconds.parse(text),
            Self::Any if is_number => Self::Milliseconds.parse(text),
            Self::Any => Self::Rfc3339.parse(text),
        }
    }

    /// Writes a time in this format.
    #[cfg(feature = "command")]
    pub(super) fn write(self, time: Timestamp) -> String {
        match self {
            Self::Seconds | Self::Any => time.as_second().to_string(),
            Self::Milliseconds => time.as_millisecond().to_string(),
            Self::Rfc3339 => time.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_parsed_in_their_format_only() {
        use TimestampFormat::{Any, Milliseconds, Rfc3339, Seconds};
        let seconds = 1_795_341_600;
        for (format, text) in [
            (Seconds, "1795341600"),
            (Milliseconds, "1795341600000"),
            (Rfc3339, "2026-11-22T10:00:00Z"),
            (Rfc3339, "2026-11-22T10:00:00.000000000+00:00"),
        ] {
            assert_eq!(format.parse(text), Some(seconds * 1000), "{text}");
            assert_eq!(Any.parse(text), Some(seconds * 1000), "{text}");
        }
        for format in [Seconds, Milliseconds, Rfc3339, Any] {
            for text in ["", "-1", "+1", " 1", "1.5", "1795341600000000000", "now"] {
                assert_eq!(format.parse(text), None, "{format:?} {text}");
            }
        }
        assert_eq!(Rfc3339.parse("1795341600"), None);
        assert_eq!(Seconds.parse("2026-11-22T10:00:00Z"), None);
    }
}
