//! Event ids in the form of random UUIDs.
//!
//! Only the start of a generator needs random bytes from the operating system.

use uuid::{Builder, Uuid};

/// Generates ids from a random start and a counter. A generator never repeats an id, and the 122 random bits of the start keep
/// the ids of different generators apart.
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
        // The counter changes only the low 60 bits, which hold neither the version nor the variant of a UUID.
        let id = self.start ^ (count & ((1 << 60) - 1));
        Builder::from_random_bytes(id.to_be_bytes()).into_uuid().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique() {
        let mut ids = EventIdGenerator::new();
        let mut seen: Vec<String> = (0..1000).map(|_| ids.next_id()).collect();
        assert_eq!(&seen[0][14..15], "4", "a random UUID by its version");
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 1000);
    }
}
