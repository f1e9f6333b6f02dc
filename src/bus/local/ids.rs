//! Ids of events: random UUIDs to look at, without asking the system for each.

use uuid::{Builder, Uuid};

/// A random start and a count: no id comes twice, here or, as far as 122 random bits go, anywhere.
pub(super) struct EventIdGenerator {
    start: u128,
    next: u64,
}

impl EventIdGenerator {
    pub(super) fn new() -> Self {
        Self { start: Uuid::new_v4().as_u128(), next: 0 }
    }

    pub(super) fn next_id(&mut self) -> String {
        let count = u128::from(self.next);
        self.next += 1;
        // The count is in the low 60 bits, of which a UUID's version and variant take none.
        let id = self.start ^ (count & ((1 << 60) - 1));
        Builder::from_random_bytes(id.to_be_bytes()).into_uuid().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_comes_twice() {
        let mut ids = EventIdGenerator::new();
        let mut seen: Vec<String> = (0..1000).map(|_| ids.next_id()).collect();
        assert_eq!(&seen[0][14..15], "4", "a random UUID by its version");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 1000);
    }
}
