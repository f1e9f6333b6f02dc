//! Formats errors as text.

/// Joins the `Display` texts of an error and its causes in one line. The `Debug` texts would be unsafe: the `Debug` text of
/// an SDK error can contain a response, and so a secret.
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
