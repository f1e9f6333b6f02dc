//! Authentication and authorization: hashed bearer tokens with per-source scopes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::secrets::{
    CacheTtls, CachedSecrets, SecretError, SecretVersion, SecretsManager, SigningSecrets as _,
};

pub enum Authenticator {
    /// Admits every client; only for a server on loopback.
    Open,
    Tokens(TokenList),
    /// The tokens of a secret, or a signature that AWS has checked.
    SecretsManager(Box<CachedSecrets<SecretsManager>>),
    /// Only a signature that AWS has checked.
    AwsSignature,
}

/// The list of tokens as stored in a secret:
/// `{"tokens": [{"name": "ci", "sha256": "...", "sources": ["sparkpost.com"]}]}`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenList {
    tokens: Vec<ApiToken>,
}

/// A token's entry, which contains only its hash.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApiToken {
    pub name: String,
    /// The SHA-256 of the token in hexadecimal digits.
    pub sha256: String,
    /// The sources that the token may read; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenScope {
    AllSources,
    Sources(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatedToken {
    /// The token's name; `None` for an AWS signature or an open server.
    pub token: Option<String>,
    pub scope: TokenScope,
}

impl AuthenticatedToken {
    fn all_sources() -> Self {
        Self { token: None, scope: TokenScope::AllSources }
    }
}

impl TokenScope {
    /// Restricts the requested sources (empty for all) to the scope; returns false if none of them is allowed.
    pub fn restrict_sources(&self, asked: &mut Vec<String>) -> bool {
        let Self::Sources(sources) = self else { return true };
        if asked.is_empty() {
            asked.clone_from(sources);
        } else {
            asked.retain(|source| sources.contains(source));
        }
        !asked.is_empty()
    }
}

impl ApiToken {
    pub fn new(name: &str, token: &str, sources: Vec<String>) -> Self {
        let sources = Some(sources).filter(|sources| !sources.is_empty());
        Self { name: name.to_owned(), sha256: hex::encode(Sha256::digest(token)), sources }
    }
}

impl TokenList {
    pub fn new(tokens: Vec<ApiToken>) -> Self {
        Self { tokens }
    }

    pub fn add(&mut self, token: ApiToken) {
        self.tokens.push(token);
    }

    /// Removes the tokens of this name; returns false if there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.name != name);
        self.tokens.len() < before
    }

    fn from_secret(version: &SecretVersion) -> Result<Self, SecretError> {
        // serde's message could quote a hash or a misplaced token.
        serde_json::from_slice(version.secret.expose()).map_err(|_| {
            SecretError::Unreadable("the token secret does not contain the expected JSON".into())
        })
    }

    /// Finds a token's entry. Every entry is compared, in constant time.
    fn authenticate(&self, token: &str) -> Option<AuthenticatedToken> {
        let hash = hex::encode(Sha256::digest(token));
        let mut found = None;
        for known in &self.tokens {
            if bool::from(known.sha256.to_ascii_lowercase().as_bytes().ct_eq(hash.as_bytes())) {
                found = Some(known);
            }
        }
        found.map(|token| AuthenticatedToken {
            token: Some(token.name.clone()),
            scope: token.sources.clone().map_or(TokenScope::AllSources, TokenScope::Sources),
        })
    }
}

impl Authenticator {
    /// Authenticates for a function: by the tokens of a secret, or without one only by AWS signature.
    pub fn for_function(tokens: Option<SecretsManager>) -> Self {
        tokens.map_or(Self::AwsSignature, |tokens| {
            Self::SecretsManager(Box::new(CachedSecrets::new(tokens, CacheTtls::default())))
        })
    }

    /// Authenticates a client by its `Authorization` header or AWS signature; `None` if it is rejected.
    ///
    /// # Errors
    /// The token secret cannot be read.
    pub async fn authenticate(
        &self,
        authorization: Option<&str>,
        is_signed: bool,
    ) -> Result<Option<AuthenticatedToken>, SecretError> {
        if is_signed && matches!(self, Self::SecretsManager(_) | Self::AwsSignature) {
            return Ok(Some(AuthenticatedToken::all_sources()));
        }
        let Some(token) = authorization.map(bearer_or_raw_token).filter(|token| !token.is_empty()) else {
            return Ok(matches!(self, Self::Open).then(AuthenticatedToken::all_sources));
        };
        match self {
            Self::Open => Ok(Some(AuthenticatedToken::all_sources())),
            Self::AwsSignature => Ok(None),
            Self::Tokens(tokens) => Ok(tokens.authenticate(token)),
            Self::SecretsManager(cache) => {
                let current: Arc<SecretVersion> = cache.current().await?;
                let found = TokenList::from_secret(&current)?.authenticate(token);
                if found.is_some() {
                    return Ok(found);
                }
                // The token may be newer than the cached list.
                match cache.newer(&current).await? {
                    Some(newer) => Ok(TokenList::from_secret(&newer)?.authenticate(token)),
                    None => Ok(None),
                }
            }
        }
    }
}

/// The token of `Authorization: Bearer TOKEN`, or of the form `Authorization: TOKEN` that SparkPost's API uses.
fn bearer_or_raw_token(authorization: &str) -> &str {
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
    async fn a_token_grants_access_to_its_scope_only() {
        let limited = ApiToken::new("ci", "limited", vec!["github.com".into()]);
        let access =
            Authenticator::Tokens(TokenList::new(vec![ApiToken::new("all", "all", vec![]), limited]));
        let admitted = async |access: &Authenticator, authorization: Option<&str>, is_signed| {
            access.authenticate(authorization, is_signed).await.unwrap().map(|admitted| admitted.scope)
        };
        let of = async |authorization: Option<&str>| admitted(&access, authorization, false).await;
        let name = access.authenticate(Some("limited"), false).await.unwrap().unwrap().token;
        assert_eq!(name.as_deref(), Some("ci"));
        assert_eq!(of(Some("Bearer all")).await, Some(TokenScope::AllSources));
        assert_eq!(of(Some("bearer  all ")).await, Some(TokenScope::AllSources));
        assert_eq!(of(Some("all")).await, Some(TokenScope::AllSources), "as with SparkPost's own");
        assert_eq!(of(Some("Bearer limited")).await, Some(TokenScope::Sources(vec!["github.com".into()])));
        for wrong in ["Bearer", "Bearer ", "", "Bearer other", "Basic all", "Bearer al", "Bearer alll"] {
            assert_eq!(of(Some(wrong)).await, None, "{wrong}");
        }
        assert_eq!(of(None).await, None);
        assert_eq!(admitted(&access, None, true).await, None, "signatures are not checked here");
        assert_eq!(admitted(&Authenticator::Open, None, false).await, Some(TokenScope::AllSources));
        assert_eq!(admitted(&Authenticator::AwsSignature, None, true).await, Some(TokenScope::AllSources));
        assert_eq!(admitted(&Authenticator::AwsSignature, Some("all"), false).await, None);
    }

    #[test]
    fn a_malformed_token_list_grants_no_access() {
        let read = |entry: &str| serde_json::from_str::<TokenList>(&format!(r#"{{"tokens":[{entry}]}}"#));
        let hash = ApiToken::new("a", "t", vec![]).sha256;
        let entry = |more: &str| format!(r#"{{"name":"a","sha256":"{hash}"{more}}}"#);
        let scope = |more| read(&entry(more)).unwrap().authenticate("t").map(|admitted| admitted.scope);
        assert_eq!(scope(""), Some(TokenScope::AllSources));
        assert_eq!(scope(r#","sources":[]"#), Some(TokenScope::Sources(vec![])));
        assert!(read(&entry(r#","source":["github.com"]"#)).is_err(), "a letter is missing");
        assert!(!TokenScope::Sources(vec![]).restrict_sources(&mut vec![]), "no source is none");
    }

    #[test]
    fn a_scope_restricts_the_requested_sources() {
        let scope = TokenScope::Sources(vec!["a".into()]);
        let narrowed = |sources: &[&str]| {
            let mut sources = sources.iter().map(|source| (*source).to_owned()).collect();
            scope.restrict_sources(&mut sources).then_some(sources)
        };
        assert_eq!(narrowed(&[]), Some(vec!["a".to_owned()]));
        assert_eq!(narrowed(&["a", "b"]), Some(vec!["a".to_owned()]));
        assert_eq!(narrowed(&["b"]), None);
    }
}
