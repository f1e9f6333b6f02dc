//! `hookbridge token`: creates and revokes API tokens.

use aws_sdk_secretsmanager::error::ProvideErrorMetadata as _;
use sha2::{Digest as _, Sha256};

use crate::api::{ApiToken, TokenList};
use crate::aws;
use crate::util::error::error_chain;
use crate::util::output;

/// Create or revoke an API token.
///
/// A new token is printed once; only its hash is stored, in the token secret of the event log's stack. Without --secret the entry
/// is printed for you to store. To revoke a token, use --revoke or remove its entry from the secret.
#[derive(clap::Args)]
pub struct TokenCommand {
    /// Name of the token, for example of the program that uses it.
    name: String,
    /// Source that the token may read, for example sparkpost.com; repeat for several [default: every source].
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,
    /// ARN of the token secret: the stack's output TokensSecretArn.
    #[arg(long, value_name = "ARN")]
    secret: Option<String>,
    /// Revoke the tokens with this name.
    #[arg(long, requires = "secret", conflicts_with = "source")]
    revoke: bool,
}

/// Maximum number of attempts to edit the token list. An attempt fails if another client edits the list at the same time.
const MAX_EDIT_ATTEMPTS: u32 = 10;

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the secret {0}: {1}")]
    Secret(String, String),
    #[error("secret {0}: invalid token list; the secret was not changed")]
    InvalidList(String),
    /// At each of `MAX_EDIT_ATTEMPTS` attempts, another client's edit was stored first.
    #[error("secret {0} is being updated concurrently; try again")]
    Conflict(String),
    /// The edited list cannot be serialised. The secret is unchanged.
    #[error("the list of tokens")]
    Serialize(#[from] serde_json::Error),
    #[error("secret {0}: no token named {1}")]
    UnknownToken(String, String),
}

impl TokenCommand {
    /// Runs the command and prints its result.
    pub async fn run(self) -> Result<(), TokenError> {
        let token = random_token();
        let entry = ApiToken::new(&self.name, &token, self.source.clone());
        let Some(secret) = &self.secret else {
            output::print_line(&token);
            let list = serde_json::to_string(&TokenList::new(vec![entry]))?;
            output::print_error(&format!("Entry for the token secret: {list}"));
            return Ok(());
        };
        let client = aws_sdk_secretsmanager::Client::new(&aws::command_config().await);
        let edit = |list: &mut TokenList| {
            if !self.revoke {
                list.add(entry.clone());
            } else if !list.remove(&self.name) {
                return Err(TokenError::UnknownToken(secret.clone(), self.name.clone()));
            }
            Ok(())
        };
        edit_secret(&client, secret, edit).await?;
        if self.revoke {
            output::print_error("Token revoked; cached copies expire within 5 minutes.");
        } else {
            output::print_line(&token);
        }
        Ok(())
    }
}

/// Edits the token list in `secret` without losing a concurrent edit. The id of the new version derives from the id of the
/// version that was read, and Secrets Manager stores a version id only once ("ClientRequestToken", PutSecretValue). Therefore
/// Secrets Manager rejects the second of two edits of the same version, and this function retries that edit on the list that
/// the first edit stored.
async fn edit_secret(
    client: &aws_sdk_secretsmanager::Client,
    secret: &str,
    edit: impl Fn(&mut TokenList) -> Result<(), TokenError>,
) -> Result<(), TokenError> {
    let secret_error = |error: String| TokenError::Secret(secret.to_owned(), error);
    // The last version that was read, and the number of rejected edits of that version. The number makes each attempt use
    // another version id. Without it, no attempt would succeed after an operator made an older version current again: if that
    // version was edited before, the version id that derives from it already exists.
    let (mut last_version, mut rejections) = (String::new(), 0);
    for _ in 0..MAX_EDIT_ATTEMPTS {
        let response = client.get_secret_value().secret_id(secret).send().await;
        let response = response.map_err(|error| secret_error(error_chain(&error)))?;
        let list: Result<TokenList, _> = serde_json::from_str(response.secret_string().unwrap_or_default());
        let mut list = list.map_err(|_| TokenError::InvalidList(secret.to_owned()))?;
        edit(&mut list)?;
        let version = response.version_id().unwrap_or_default();
        if version != last_version {
            (last_version, rejections) = (version.to_owned(), 0);
        }
        let request = client
            .put_secret_value()
            .secret_id(secret)
            .client_request_token(next_version_id(version, rejections))
            .secret_string(serde_json::to_string(&list)?);
        match request.send().await {
            Ok(_) => return Ok(()),
            Err(error) if error.code() == Some("ResourceExistsException") => rejections += 1,
            Err(error) => return Err(secret_error(error_chain(&error))),
        }
    }
    Err(TokenError::Conflict(secret.to_owned()))
}

/// The id of the version that follows `version`, as 64 hexadecimal digits.
fn next_version_id(version: &str, rejections: u32) -> String {
    hex::encode(Sha256::digest(format!("{version} {rejections}")))
}

/// Generates a token of 244 random bits.
fn random_token() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
