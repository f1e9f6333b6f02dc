//! Reads the credentials of a PostgreSQL database from Secrets Manager.

use serde::Deserialize;

use super::{DatabaseError, DatabaseUrl, DatabaseUrlError};
use crate::secrets::{SecretStore, SecretsManager, VersionStage};

/// A database secret in the JSON format that Secrets Manager uses for RDS. The optional fields are used only if `DATABASE_URL` is
/// not set.
///
/// Source: "JSON structure of AWS Secrets Manager database credential secrets", AWS Secrets Manager User Guide.
#[derive(Deserialize)]
struct DatabaseCredentials {
    username: String,
    password: String,
    host: Option<String>,
    port: Option<u16>,
    dbname: Option<String>,
}

/// Builds the database URL from the current version of `secret`. A secret that contains a URL is used as it is. If the secret
/// contains RDS's JSON, the user and the password come from the JSON; host, port and database come from `base_url`, or from the
/// JSON if `base_url` is `None`.
pub(super) async fn read_url(
    base_url: Option<&DatabaseUrl>,
    secret: &SecretsManager,
) -> Result<DatabaseUrl, DatabaseError> {
    let invalid_secret =
        |problem: &str| DatabaseError::Rejected(format!("invalid database secret: {problem}"));
    let version = secret.fetch(VersionStage::Current).await;
    let version = version
        .map_err(|error| DatabaseError::Unavailable(format!("cannot read the database secret: {error}")))?;
    let version = version.ok_or_else(|| invalid_secret("it has no value"))?;
    let text = std::str::from_utf8(version.secret.expose()).map_err(|_| invalid_secret("it is not text"))?;
    if !text.trim_start().starts_with('{') {
        return text.trim().parse().map_err(|error: DatabaseUrlError| invalid_secret(&error.to_string()));
    }
    let expected_format = "expected RDS JSON with username and password";
    let credentials: DatabaseCredentials =
        serde_json::from_str(text).map_err(|_| invalid_secret(expected_format))?;
    let url = match (base_url, &credentials.host) {
        (Some(url), _) => url.clone(),
        (None, Some(host)) => {
            let port = credentials.port.unwrap_or(5432);
            let name = credentials.dbname.as_deref().unwrap_or("postgres");
            DatabaseUrl::from_parts(host, port, name)
        }
        (None, None) => return Err(invalid_secret("it has no host, and DATABASE_URL is not set")),
    };
    Ok(url.with_credentials(&credentials.username, &credentials.password))
}
