//! Who may read what: bearer tokens, of which only hashes are kept.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::secrets::{CachedSecrets, Keys as _, SecretError, SecretsManager, Version};

/// Who is let in.
pub enum Access {
    /// Everybody: on the machine itself only.
    Open,
    /// Who has one of these tokens.
    Tokens(Tokens),
    /// Who has one of the tokens that a secret lists, and whose signature AWS has checked.
    Secret(Box<CachedSecrets<SecretsManager>>),
    /// Only whose signature AWS has checked.
    Signed,
}

/// Tokens, as a secret lists them: `{"tokens": [{"name": "ci", "sha256": "...", "sources": ["sparkpost.com"]}]}`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    tokens: Vec<Token>,
}

/// A token, without itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// What it is known by.
    pub name: String,
    /// The SHA-256 of it, in hexadecimal digits.
    pub sha256: String,
    /// The sources whose events it reads; every source, when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
}

/// What may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Events of every source.
    Everything,
    /// Events of these sources.
    Sources(Vec<String>),
}

impl Scope {
    /// Keeps the sources that are asked for, of which none are all, within what may be read; false when none of them may.
    pub fn narrow(&self, asked: &mut Vec<String>) -> bool {
        let Self::Sources(sources) = self else { return true };
        if asked.is_empty() {
            asked.clone_from(sources);
        } else {
            asked.retain(|source| sources.contains(source));
        }
        !asked.is_empty()
    }
}

impl Token {
    /// What is kept of a token.
    pub fn of(name: &str, token: &str, sources: Vec<String>) -> Self {
        let sources = Some(sources).filter(|sources| !sources.is_empty());
        Self { name: name.to_owned(), sha256: hex::encode(Sha256::digest(token)), sources }
    }
}

impl Tokens {
    /// These.
    pub fn new(tokens: Vec<Token>) -> Self {
        Self { tokens }
    }

    /// One more.
    pub fn add(&mut self, token: Token) {
        self.tokens.push(token);
    }

    /// Takes out those of a name; false when there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.name != name);
        self.tokens.len() < before
    }

    fn read(version: &Version) -> Result<Self, SecretError> {
        // Not the error's own text, which can quote what it could not read.
        serde_json::from_slice(version.secret.expose())
            .map_err(|_| SecretError::Unreadable("the secret of tokens is not the JSON it should be".into()))
    }

    /// What this token may read; `None` when it is none of them. All of them are compared, in constant time.
    fn scope(&self, token: &str) -> Option<Scope> {
        let hash = hex::encode(Sha256::digest(token));
        let mut found = None;
        for known in &self.tokens {
            if bool::from(known.sha256.to_ascii_lowercase().as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(known);
            }
        }
        found.map(|token| match &token.sources {
            None => Scope::Everything,
            Some(sources) => Scope::Sources(sources.clone()),
        })
    }
}

impl Access {
    /// What a request may read; `None` when nothing.
    ///
    /// # Errors
    /// When the tokens cannot be read.
    pub async fn of(
        &self,
        authorization: Option<&str>,
        is_signed: bool,
    ) -> Result<Option<Scope>, SecretError> {
        if is_signed && matches!(self, Self::Secret(_) | Self::Signed) {
            return Ok(Some(Scope::Everything));
        }
        let Some(token) = authorization.map(token).filter(|token| !token.is_empty()) else {
            return Ok(matches!(self, Self::Open).then_some(Scope::Everything));
        };
        match self {
            Self::Open => Ok(Some(Scope::Everything)),
            Self::Signed => Ok(None),
            Self::Tokens(tokens) => Ok(tokens.scope(token)),
            Self::Secret(cache) => {
                let current: Arc<Version> = cache.current().await?;
                let scope = Tokens::read(&current)?.scope(token);
                if scope.is_some() {
                    return Ok(scope);
                }
                // It may have been added a moment ago.
                match cache.newer(&current).await {
                    Some(newer) => Ok(Tokens::read(&newer)?.scope(token)),
                    None => Ok(None),
                }
            }
        }
    }
}

/// The token of an `Authorization`: `Bearer TOKEN`, or, as the users of SparkPost's API write it, the token alone.
fn token(authorization: &str) -> &str {
    match authorization.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        Some(_) => "",
        None => authorization.trim(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_lets_in_as_far_as_it_reaches() {
        let limited = Token::of("ci", "limited", vec!["github.com".into()]);
        let access = Access::Tokens(Tokens::new(vec![Token::of("all", "all", vec![]), limited]));
        let of = async |authorization: Option<&str>| access.of(authorization, false).await.unwrap();
        assert_eq!(of(Some("Bearer all")).await, Some(Scope::Everything));
        assert_eq!(of(Some("bearer  all ")).await, Some(Scope::Everything));
        assert_eq!(of(Some("all")).await, Some(Scope::Everything), "as with SparkPost's own");
        assert_eq!(of(Some("Bearer limited")).await, Some(Scope::Sources(vec!["github.com".into()])));
        for wrong in ["Bearer", "Bearer ", "", "Bearer other", "Basic all", "Bearer al", "Bearer alll"] {
            assert_eq!(of(Some(wrong)).await, None, "{wrong}");
        }
        assert_eq!(of(None).await, None);
        assert_eq!(access.of(None, true).await.unwrap(), None, "nobody checks signatures here");
        assert_eq!(Access::Open.of(None, false).await.unwrap(), Some(Scope::Everything));
        assert_eq!(Access::Signed.of(None, true).await.unwrap(), Some(Scope::Everything));
        assert_eq!(Access::Signed.of(Some("all"), false).await.unwrap(), None);
    }

    #[test]
    fn a_list_that_was_edited_by_hand_opens_nothing_by_mistake() {
        let read = |entry: &str| serde_json::from_str::<Tokens>(&format!(r#"{{"tokens":[{entry}]}}"#));
        let hash = Token::of("a", "t", vec![]).sha256;
        let entry = |more: &str| format!(r#"{{"name":"a","sha256":"{hash}"{more}}}"#);
        assert_eq!(read(&entry("")).unwrap().scope("t"), Some(Scope::Everything));
        assert_eq!(read(&entry(r#","sources":[]"#)).unwrap().scope("t"), Some(Scope::Sources(vec![])));
        assert!(read(&entry(r#","source":["github.com"]"#)).is_err(), "a letter is missing");
        assert!(!Scope::Sources(vec![]).narrow(&mut vec![]), "no source is none");
    }

    #[test]
    fn a_scope_keeps_what_is_asked_within_it() {
        let scope = Scope::Sources(vec!["a".into()]);
        let narrowed = |sources: &[&str]| {
            let mut sources = sources.iter().map(|source| (*source).to_owned()).collect();
            scope.narrow(&mut sources).then_some(sources)
        };
        assert_eq!(narrowed(&[]), Some(vec!["a".to_owned()]));
        assert_eq!(narrowed(&["a", "b"]), Some(vec!["a".to_owned()]));
        assert_eq!(narrowed(&["b"]), None);
    }
}
