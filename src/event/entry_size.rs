//! The size of an event, as EventBridge counts it.

use super::Event;

impl Event {
    /// The size of the event as an entry, in bytes, by EventBridge's formula: 14 bytes for a time, plus the UTF-8
    /// lengths of source, detail type, detail and each resource.
    ///
    /// Source: "Calculating PutEvents event entry size", Amazon EventBridge User Guide.
    pub fn entry_size(&self) -> usize {
        let time = if self.time.is_some() { 14 } else { 0 };
        let resources: usize = self.resources.iter().map(String::len).sum();
        time + self.source.len() + self.detail_type.len() + self.detail.as_str().len() + resources
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::event::Detail;

    #[test]
    fn the_entry_size_follows_eventbridge_s_formula() {
        let mut event = Event {
            source: "github.com".into(),
            detail_type: "push".into(),
            detail: Detail::parse(r#"{"é":1}"#.as_bytes()).unwrap(),
            time: None,
            resources: vec![],
            trace_header: None,
            group_id: None,
        };
        assert_eq!(event.entry_size(), 10 + 4 + 8);
        event.time = Some(Timestamp::UNIX_EPOCH);
        event.resources = vec!["urn:webhook:github:1".into()];
        assert_eq!(event.entry_size(), 10 + 4 + 8 + 14 + 20);
    }
}
