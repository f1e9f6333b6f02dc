//! Authentication and authorization: hashed bearer tokens with per-source scopes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::secrets::{
    CacheTtls, CachedSecrets, SecretError, SecretVersion, SecretsManager, SigningSecrets as _,
};

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

/// Somebody who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What the token is known by, where there is one.
    pub token: Option<String>,
    /// What may be read.
    pub scope: Scope,
}

impl Admitted {
    /// Without a token.
    fn to_everything() -> Self {
        Self { token: None, scope: Scope::Everything }
    }
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

    fn read(version: &SecretVersion) -> Result<Self, SecretError> {
        // Not the error's own text, which can quote what it could not read.
        serde_json::from_slice(version.secret.expose())
            .map_err(|_| SecretError::Unreadable("the secret of tokens is not the JSON it should be".into()))
    }

    /// Whose this token is; `None` when it is none of them. All of them are compared, in constant time.
    fn find(&self, token: &str) -> Option<Admitted> {
        let hash = hex::encode(Sha256::digest(token));
        let mut found = None;
        for known in &self.tokens {
            if bool::from(known.sha256.to_ascii_lowercase().as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(known);
            }
        }
        found.map(|token| Admitted {
            token: Some(token.name.clone()),
            scope: token.sources.clone().map_or(Scope::Everything, Scope::Sources),
        })
    }
}

impl Access {
    /// A function's: the tokens of a secret, or, without one, only AWS's own signatures.
    pub fn of_function(tokens: Option<SecretsManager>) -> Self {
        tokens.map_or(Self::Signed, |tokens| {
            Self::Secret(Box::new(CachedSecrets::new(tokens, CacheTtls::default())))
        })
    }

    /// Who is let in; `None` when it is nobody.
    ///
    /// # Errors
    /// When the tokens cannot be read.
    pub async fn of(
        &self,
        authorization: Option<&str>,
        is_signed: bool,
    ) -> Result<Option<Admitted>, SecretError> {
        if is_signed && matches!(self, Self::Secret(_) | Self::Signed) {
            return Ok(Some(Admitted::to_everything()));
        }
        let Some(token) = authorization.map(token).filter(|token| !token.is_empty()) else {
            return Ok(matches!(self, Self::Open).then(Admitted::to_everything));
        };
        match self {
            Self::Open => Ok(Some(Admitted::to_everything())),
            Self::Signed => Ok(None),
            Self::Tokens(tokens) => Ok(tokens.find(token)),
            Self::Secret(cache) => {
                let current: Arc<SecretVersion> = cache.current().await?;
                let found = Tokens::read(&current)?.find(token);
                if found.is_some() {
                    return Ok(found);
                }
                // It may have been added a moment ago.
                match cache.newer(&current).await? {
                    Some(newer) => Ok(Tokens::read(&newer)?.find(token)),
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
        let admitted = async |access: &Access, authorization: Option<&str>, is_signed| {
            access.of(authorization, is_signed).await.unwrap().map(|admitted| admitted.scope)
        };
        let of = async |authorization: Option<&str>| admitted(&access, authorization, false).await;
        let name = access.of(Some("limited"), false).await.unwrap().unwrap().token;
        assert_eq!(name.as_deref(), Some("ci"));
        assert_eq!(of(Some("Bearer all")).await, Some(Scope::Everything));
        assert_eq!(of(Some("bearer  all ")).await, Some(Scope::Everything));
        assert_eq!(of(Some("all")).await, Some(Scope::Everything), "as with SparkPost's own");
        assert_eq!(of(Some("Bearer limited")).await, Some(Scope::Sources(vec!["github.com".into()])));
        for wrong in ["Bearer", "Bearer ", "", "Bearer other", "Basic all", "Bearer al", "Bearer alll"] {
            assert_eq!(of(Some(wrong)).await, None, "{wrong}");
        }
        assert_eq!(of(None).await, None);
        assert_eq!(admitted(&access, None, true).await, None, "nobody checks signatures here");
        assert_eq!(admitted(&Access::Open, None, false).await, Some(Scope::Everything));
        assert_eq!(admitted(&Access::Signed, None, true).await, Some(Scope::Everything));
        assert_eq!(admitted(&Access::Signed, Some("all"), false).await, None);
    }

    #[test]
    fn a_list_that_was_edited_by_hand_opens_nothing_by_mistake() {
        let read = |entry: &str| serde_json::from_str::<Tokens>(&format!(r#"{{"tokens":[{entry}]}}"#));
        let hash = Token::of("a", "t", vec![]).sha256;
        let entry = |more: &str| format!(r#"{{"name":"a","sha256":"{hash}"{more}}}"#);
        let scope = |more| read(&entry(more)).unwrap().find("t").map(|admitted| admitted.scope);
        assert_eq!(scope(""), Some(Scope::Everything));
        assert_eq!(scope(r#","sources":[]"#), Some(Scope::Sources(vec![])));
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
