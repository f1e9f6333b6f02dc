//! The function `subscribers`: the API behind a Lambda Function URL.

use std::time::SystemTime;

use http::{StatusCode, header};
use serde_json::json;
use tokio::time::timeout_at;

use super::{Api, ApiAnswer};
use crate::invocation::{NotARequest, UrlAnswer, UrlRequest, time_to_answer};
use crate::log::SqlExecutor;

/// The function: the API, and its name for the log.
pub struct ApiFunction<S> {
    /// What it does.
    pub api: Api<S>,
    /// Its name.
    pub name: String,
}

impl<S: SqlExecutor> ApiFunction<S> {
    /// Answers one invocation before `deadline`, and returns the answer with the line to log.
    ///
    /// # Errors
    /// When it was not a Function URL that called.
    pub async fn invoke(
        &self,
        event: &str,
        request_id: &str,
        deadline: SystemTime,
    ) -> Result<(UrlAnswer, Vec<String>), NotARequest> {
        let request = UrlRequest::read(event)?;
        let token = request.headers.get(header::AUTHORIZATION);
        let token = token.map(|value| value.to_str().unwrap_or_default());
        let mut line = json!({"function": self.name, "request_id": request_id});
        let answer = match self.api.admit(token, request.signed_by.is_some()).await {
            Ok(token) => {
                line["token"] = token.into();
                line["caller"] = request.signed_by.as_deref().into();
                line["method"] = request.method.as_str().into();
                line["path"] = request.path.as_str().into();
                self.answer(&request, &request.body()?, deadline).await
            }
            // What they asked for is not on record: it can be anything, and of any length.
            Err(refused) => refused,
        };
        line["status"] = answer.status.as_u16().into();
        let ApiAnswer { status, headers, body } = answer;
        let headers = headers.into_iter().map(|(name, value)| (name, value.to_owned()));
        Ok((UrlAnswer::new(status, headers, body.into_bytes()), vec![line.to_string()]))
    }

    async fn answer(&self, request: &UrlRequest<'_>, body: &[u8], deadline: SystemTime) -> ApiAnswer {
        let UrlRequest { method, path, query, .. } = request;
        let answer = self.api.answer(method, path, query, body);
        timeout_at(time_to_answer(deadline), answer).await.unwrap_or_else(|_| {
            ApiAnswer::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "The request timed out; it may still have completed.",
            )
        })
    }
}
