//! What a function is told by its environment.

use std::ops::RangeInclusive;

/// A variable of a function's environment that is missing or says something that cannot be. It shows no secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("environment variable {name}: {problem}")]
pub struct EnvironmentError {
    /// The variable.
    pub name: &'static str,
    /// What is wrong with it, and what it should be.
    pub problem: String,
}

impl EnvironmentError {
    /// What is wrong with this variable.
    pub fn new(name: &'static str, problem: impl Into<String>) -> Self {
        Self { name, problem: problem.into() }
    }
}

/// A function's environment. A variable that is empty is not set.
pub struct Variables<F>(pub F);

impl<F: Fn(&'static str) -> Option<String>> Variables<F> {
    /// What a variable says.
    pub fn get(&self, name: &'static str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// What a variable says that has to be set; `what` is what it names.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn needed(&self, name: &'static str, what: &str) -> Result<String, EnvironmentError> {
        self.get(name).ok_or_else(|| EnvironmentError::new(name, format!("not set; it names {what}")))
    }

    /// A whole number of something, within bounds.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn number(
        &self,
        name: &'static str,
        default: i64,
        bounds: RangeInclusive<i64>,
        of: &str,
    ) -> Result<i64, EnvironmentError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        let (least, most) = bounds.into_inner();
        number.ok_or_else(|| {
            let problem = format!("'{text}' is not a whole number of {of} from {least} to {most}");
            EnvironmentError::new(name, problem)
        })
    }

    /// A boolean variable; false if unset.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn flag(&self, name: &'static str) -> Result<bool, EnvironmentError> {
        match self.get(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(EnvironmentError::new(name, format!("'{other}' is neither true nor false"))),
        }
    }
}
