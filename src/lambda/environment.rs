//! Reads the environment variables of a function.

use std::ops::RangeInclusive;

/// A missing or invalid environment variable. The text contains no secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("environment variable {name}: {problem}")]
pub struct EnvironmentError {
    pub name: &'static str,
    /// The problem and the expected value.
    pub problem: String,
}

impl EnvironmentError {
    pub fn new(name: &'static str, problem: impl Into<String>) -> Self {
        Self { name, problem: problem.into() }
    }
}

/// A function's environment. An empty variable counts as unset.
pub struct Variables<F>(pub F);

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// Reads a required variable; `description` describes its value in the error.
    pub fn require(&self, name: &'static str, description: &str) -> Result<String, EnvironmentError> {
        self.get(name).ok_or_else(|| EnvironmentError::new(name, format!("not set; it names {description}")))
    }

    /// Reads a whole number of `unit` within `bounds`; `default` if the variable is unset.
    pub fn integer(
        &self,
        name: &'static str,
        default: i64,
        bounds: RangeInclusive<i64>,
        unit: &str,
    ) -> Result<i64, EnvironmentError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        let (min, max) = bounds.into_inner();
        number.ok_or_else(|| {
            let problem = format!("'{text}' is not a whole number of {unit} from {min} to {max}");
            EnvironmentError::new(name, problem)
        })
    }

    /// Reads a boolean variable; false if unset.
    pub fn boolean(&self, name: &'static str) -> Result<bool, EnvironmentError> {
        match self.get(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                Err(EnvironmentError::new(name, format!("invalid value '{other}', expected true or false")))
            }
        }
    }
}
