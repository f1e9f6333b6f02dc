//! Names that users give to subscribers and consumers, and that are parts of URLs.

/// Maximum length of a name, in characters.
pub const MAX_NAME_CHARS: usize = 64;

/// Whether a name has at most [`MAX_NAME_CHARS`] characters, begins with a letter or digit, and continues with letters,
/// digits, `-`, `_` and `.`.
pub fn is_valid_name(name: &str) -> bool {
    let is_allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    let has_valid_start = name.starts_with(|char: char| char.is_ascii_alphanumeric());
    has_valid_start && name.len() <= MAX_NAME_CHARS && name.chars().all(is_allowed)
}
