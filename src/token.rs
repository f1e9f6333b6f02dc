//! `hookbridge token`: a token for whoever searches, and its hash for the list of those who may.

use crate::access::{Token, Tokens};
use crate::aws;
use crate::output;

/// Make a token for somebody who searches the log, and show it once. Only its hash is kept, in the secret of the event
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
    /// Take back the tokens of that name instead.
    #[arg(long, requires = "secret", conflicts_with = "source")]
    revoke: bool,
}

/// Why there is no token, or the old one still counts.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The secret cannot be read or written.
    #[error("the secret {0}: {1}")]
    Secret(String, String),
    /// What is in it is no list of tokens.
    #[error("the secret {0} holds something else than a list of tokens; it is left as it is")]
    NoList(String),
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
            let list = serde_json::to_string(&Tokens::new(vec![entry])).unwrap_or_default();
            output::complain(&format!("Its entry for the secret of tokens: {list}"));
            return Ok(());
        };
        let client = aws_sdk_secretsmanager::Client::new(&aws::command_config().await);
        let failed = |error: String| TokenError::Secret(secret.clone(), error);
        let got = client.get_secret_value().secret_id(secret).send().await;
        let got = got.map_err(|error| failed(output::chain(&error)))?;
        let list: Result<Tokens, _> = serde_json::from_str(got.secret_string().unwrap_or_default());
        let mut list = list.map_err(|_| TokenError::NoList(secret.clone()))?;
        if self.revoke {
            if !list.remove(&self.name) {
                return Err(TokenError::NoToken(secret.clone(), self.name));
            }
        } else {
            list.add(entry);
        }
        let text = serde_json::to_string(&list).unwrap_or_default();
        let put = client.put_secret_value().secret_id(secret).secret_string(text).send().await;
        put.map_err(|error| failed(output::chain(&error)))?;
        if self.revoke {
            output::complain("It is taken back; a function that knows it forgets it within 5 minutes.");
        } else {
            output::line(&token);
        }
        Ok(())
    }
}

/// 244 random bits.
fn random() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}
