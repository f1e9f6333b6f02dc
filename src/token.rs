//! `hookbridge token`: a token for whoever searches, and its hash for the list of those who may.

use aws_sdk_secretsmanager::error::ProvideErrorMetadata as _;
use sha2::{Digest as _, Sha256};

use crate::access::{Token, Tokens};
use crate::aws;
use crate::output;

/// Create an API token and print it once. Only its hash is kept, in the secret of the event
/// log's stack; without --secret nothing is kept, and the hash is shown too.
///
/// To take one back, remove its entry from the secret, or use --revoke.
#[derive(clap::Args)]
pub struct NewToken {
    /// What it is known by, for example the name of a program.
    name: String,
    /// Only events of this source can be read with it, for example sparkpost.com; may be given several times.
    #[arg(long, value_name = "SOURCE")]
    source: Vec<String>,
    /// The secret of the stack: its output TokensSecretArn.
    #[arg(long, value_name = "ARN")]
    secret: Option<String>,
    /// Revoke the tokens with this name.
    #[arg(long, requires = "secret", conflicts_with = "source")]
    revoke: bool,
}

/// Attempts at an edit of the secret while other edits come first.
const MAX_EDIT_ATTEMPTS: u32 = 10;

/// Why there is no token, or the old one still counts.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The secret cannot be read or written.
    #[error("the secret {0}: {1}")]
    Secret(String, String),
    /// What is in it is no list of tokens.
    #[error("the secret {0} is not a list of tokens; it was left unchanged")]
    NoList(String),
    /// Other edits came first, again and again.
    #[error("the secret {0} is being changed by others at the same time; try again")]
    Conflict(String),
    /// A list that cannot be serialised is never stored.
    #[error("the list of tokens")]
    Serialize(#[from] serde_json::Error),
    /// There is none of that name.
    #[error("the secret {0} has no token of the name {1}")]
    NoToken(String, String),
}

impl NewToken {
    /// Makes it, or takes it back.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn run(self) -> Result<(), TokenError> {
        let token = random();
        let entry = Token::of(&self.name, &token, self.source.clone());
        let Some(secret) = &self.secret else {
            output::line(&token);
            let list = serde_json::to_string(&Tokens::new(vec![entry]))?;
            output::complain(&format!("Its entry for the secret of tokens: {list}"));
            return Ok(());
        };
        let client = aws_sdk_secretsmanager::Client::new(&aws::command_config().await);
        let edit = |list: &mut Tokens| {
            if !self.revoke {
                list.add(entry.clone());
            } else if !list.remove(&self.name) {
                return Err(TokenError::NoToken(secret.clone(), self.name.clone()));
            }
            Ok(())
        };
        edit_secret(&client, secret, edit).await?;
        if self.revoke {
            output::complain("Token revoked; cached copies expire within 5 minutes.");
        } else {
            output::line(&token);
        }
        Ok(())
    }
}

/// Edits the list of tokens in `secret` without losing an edit that another process makes at the same time.
///
/// The id of the new version is derived from the version that was read, and Secrets Manager stores a version id once
/// ("ClientRequestToken", PutSecretValue): of two edits of one version the second is refused, and starts again from what the
/// first one stored.
async fn edit_secret(
    client: &aws_sdk_secretsmanager::Client,
    secret: &str,
    edit: impl Fn(&mut Tokens) -> Result<(), TokenError>,
) -> Result<(), TokenError> {
    let failed = |error: String| TokenError::Secret(secret.to_owned(), error);
    // The version that was read, and edits of it that were refused: it may be current once more after a rollback.
    let (mut version_read, mut refused) = (String::new(), 0);
    for _ in 0..MAX_EDIT_ATTEMPTS {
        let read = client.get_secret_value().secret_id(secret).send().await;
        let read = read.map_err(|error| failed(output::chain(&error)))?;
        let list: Result<Tokens, _> = serde_json::from_str(read.secret_string().unwrap_or_default());
        let mut list = list.map_err(|_| TokenError::NoList(secret.to_owned()))?;
        edit(&mut list)?;
        let version = read.version_id().unwrap_or_default();
        if version != version_read {
            (version_read, refused) = (version.to_owned(), 0);
        }
        let put = client
            .put_secret_value()
            .secret_id(secret)
            .client_request_token(next_version_id(version, refused))
            .secret_string(serde_json::to_string(&list)?);
        match put.send().await {
            Ok(_) => return Ok(()),
            Err(error) if error.code() == Some("ResourceExistsException") => refused += 1,
            Err(error) => return Err(failed(output::chain(&error))),
        }
    }
    Err(TokenError::Conflict(secret.to_owned()))
}

/// The id of the version that follows `version`, as 64 hexadecimal digits.
fn next_version_id(version: &str, refused: u32) -> String {
    hex::encode(Sha256::digest(format!("{version} {refused}")))
}

/// 244 random bits.
fn random() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
