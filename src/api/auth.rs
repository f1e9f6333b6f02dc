//! Authentication and authorization of API clients.
//!
//! A client sends a bearer token, or signs its request with AWS credentials (SigV4), which AWS verifies before it invokes the
//! function. A token may be limited to the events of some sources. The token list stores only the hashes of tokens.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::secrets::{
    CacheTtls, CachedSecrets, SecretError, SecretVersion, SecretsManager, SigningSecrets as _,
};

pub enum Authenticator {
    /// Accepts every client. `hookbridge serve` uses this variant if no token is configured; the access policy
    /// of `serve` (`serve/http/access.rs`) then rejects requests that are not local, and with `--public-url` all requests.
    Open,
    /// Accepts the tokens of this list.
    Tokens(TokenList),
    /// Accepts the tokens of a list in Secrets Manager, and requests whose SigV4 signature AWS has verified.
    SecretsManager(Box<CachedSecrets<SecretsManager>>),
    /// Accepts only requests whose SigV4 signature AWS has verified.
    AwsSignature,
}

/// The list of API tokens. The token secret in Secrets Manager contains the list as JSON:
/// `{"tokens": [{"name": "ci", "sha256": "...", "sources": ["sparkpost.com"]}]}`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenList {
    tokens: Vec<ApiToken>,
}

/// An entry of the token list. It contains the hash of the token, never the token.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApiToken {
    pub name: String,
    /// The SHA-256 of the token in hexadecimal digits.
    pub sha256: String,
    /// The event sources that the token may read, for example `sparkpost.com`; `None` allows every source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<String>>,
}

/// The sources whose events a token may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenScope {
    AllSources,
    Sources(Vec<String>),
}

/// An authenticated client and what the client may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticatedToken {
    /// The token's name in the token list; `None` if AWS authenticated the client, or if the server accepts every client.
    pub name: Option<String>,
    pub scope: TokenScope,
}

impl AuthenticatedToken {
    pub fn all_sources() -> Self {
        Self { name: None, scope: TokenScope::AllSources }
    }
}

impl TokenScope {
    /// Removes from `requested` the sources that the scope does not allow. An empty `requested` stands for every source: a
    /// limited scope fills `requested` with the allowed sources. Returns false if the scope allows none of the requested sources.
    pub fn restrict_sources(&self, requested: &mut Vec<String>) -> bool {
        let Self::Sources(sources) = self else { return true };
        if requested.is_empty() {
            requested.clone_from(sources);
        } else {
            requested.retain(|source| sources.contains(source));
        }
        !requested.is_empty()
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

    /// Removes all tokens with this name; returns false if there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let old_count = self.tokens.len();
        self.tokens.retain(|token| token.name != name);
        self.tokens.len() < old_count
    }

    fn from_secret(version: &SecretVersion) -> Result<Self, SecretError> {
        // serde's error is dropped, because its message could quote a token's hash, or a token that was stored in place of its
        // hash.
        serde_json::from_slice(version.secret.expose()).map_err(|_| {
            SecretError::Unreadable("the token secret does not contain the expected JSON".into())
        })
    }

    /// Looks up a token by its hash. Every entry is compared in constant time, so that the response time reveals no hash.
    fn authenticate(&self, token: &str) -> Option<AuthenticatedToken> {
        let hash = hex::encode(Sha256::digest(token));
        let mut matching_entry = None;
        for entry in &self.tokens {
            if bool::from(entry.sha256.to_ascii_lowercase().as_bytes().ct_eq(hash.as_bytes())) {
                matching_entry = Some(entry);
            }
        }
        matching_entry.map(|entry| AuthenticatedToken {
            name: Some(entry.name.clone()),
            scope: entry.sources.clone().map_or(TokenScope::AllSources, TokenScope::Sources),
        })
    }
}

impl Authenticator {
    /// Creates the authenticator of a Lambda function. The authenticator accepts requests whose SigV4 signature AWS has verified
    /// and, if `token_secret` is set, the tokens in that secret.
    pub fn for_function(token_secret: Option<SecretsManager>) -> Self {
        token_secret.map_or(Self::AwsSignature, |token_secret| {
            Self::SecretsManager(Box::new(CachedSecrets::new(token_secret, CacheTtls::default())))
        })
    }

    /// Authenticates a client by its `Authorization` header or, if `is_signed`, by its SigV4 signature, which AWS has verified.
    /// Returns `None` for a rejected client.
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
                let authenticated_token = TokenList::from_secret(&current)?.authenticate(token);
                if authenticated_token.is_some() {
                    return Ok(authenticated_token);
                }
                // The token may have been created after the token list was cached, so look for a newer version of the list.
                match cache.newer(&current).await? {
                    Some(newer) => Ok(TokenList::from_secret(&newer)?.authenticate(token)),
                    None => Ok(None),
                }
            }
        }
    }
}

/// Extracts the token from `Authorization: Bearer TOKEN`, or from `Authorization: TOKEN`, the form that SparkPost's API uses.
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
        let tokens =
            Authenticator::Tokens(TokenList::new(vec![ApiToken::new("all", "all", vec![]), limited]));
        let authenticate = async |authenticator: &Authenticator, authorization: Option<&str>, is_signed| {
            authenticator.authenticate(authorization, is_signed).await.unwrap().map(|token| token.scope)
        };
        let scope_of = async |authorization: Option<&str>| authenticate(&tokens, authorization, false).await;
        let name = tokens.authenticate(Some("limited"), false).await.unwrap().unwrap().name;
        assert_eq!(name.as_deref(), Some("ci"));
        assert_eq!(scope_of(Some("Bearer all")).await, Some(TokenScope::AllSources));
        assert_eq!(scope_of(Some("bearer  all ")).await, Some(TokenScope::AllSources));
        assert_eq!(scope_of(Some("all")).await, Some(TokenScope::AllSources), "a token without a scheme");
        assert_eq!(
            scope_of(Some("Bearer limited")).await,
            Some(TokenScope::Sources(vec!["github.com".into()]))
        );
        for authorization in
            ["Bearer", "Bearer ", "", "Bearer other", "Basic all", "Bearer al", "Bearer alll"]
        {
            assert_eq!(scope_of(Some(authorization)).await, None, "{authorization}");
        }
        assert_eq!(scope_of(None).await, None);
        assert_eq!(authenticate(&tokens, None, true).await, None, "a token list ignores signatures");
        assert_eq!(authenticate(&Authenticator::Open, None, false).await, Some(TokenScope::AllSources));
        assert_eq!(
            authenticate(&Authenticator::AwsSignature, None, true).await,
            Some(TokenScope::AllSources)
        );
        assert_eq!(authenticate(&Authenticator::AwsSignature, Some("all"), false).await, None);
    }

    #[test]
    fn a_malformed_token_list_grants_no_access() {
        let parse = |entry: &str| serde_json::from_str::<TokenList>(&format!(r#"{{"tokens":[{entry}]}}"#));
        let hash = ApiToken::new("a", "t", vec![]).sha256;
        let entry = |extra: &str| format!(r#"{{"name":"a","sha256":"{hash}"{extra}}}"#);
        let scope = |extra| parse(&entry(extra)).unwrap().authenticate("t").map(|token| token.scope);
        assert_eq!(scope(""), Some(TokenScope::AllSources));
        assert_eq!(scope(r#","sources":[]"#), Some(TokenScope::Sources(vec![])));
        assert!(parse(&entry(r#","source":["github.com"]"#)).is_err(), "source instead of sources");
        assert!(!TokenScope::Sources(vec![]).restrict_sources(&mut vec![]), "an empty list allows no source");
    }

    #[test]
    fn a_scope_restricts_the_requested_sources() {
        let scope = TokenScope::Sources(vec!["a".into()]);
        let restricted = |sources: &[&str]| {
            let mut sources = sources.iter().map(|source| (*source).to_owned()).collect();
            scope.restrict_sources(&mut sources).then_some(sources)
        };
        assert_eq!(restricted(&[]), Some(vec!["a".to_owned()]));
        assert_eq!(restricted(&["a", "b"]), Some(vec!["a".to_owned()]));
        assert_eq!(restricted(&["b"]), None);
    }
}
