//! The Lambda function `subscribers`: the API behind a Function URL.

use std::time::SystemTime;

use http::{StatusCode, header};
use serde_json::json;
use tokio::time::timeout_at;

use super::{Api, ApiResponse};
use crate::lambda::{FunctionUrlEventError, FunctionUrlRequest, FunctionUrlResponse, handling_deadline};

pub struct ApiFunction {
    pub api: Api,
    /// The function's name, for the log.
    pub name: String,
}

impl ApiFunction {
    /// Handles one request before `deadline`; returns the response and its log line.
    ///
    /// # Errors
    /// The event is not from a Function URL.
    pub async fn invoke(
        &self,
        event: &str,
        request_id: &str,
        deadline: SystemTime,
    ) -> Result<(FunctionUrlResponse, Vec<String>), FunctionUrlEventError> {
        let request = FunctionUrlRequest::parse(event)?;
        let authorization = request.headers.get(header::AUTHORIZATION);
        let authorization = authorization.map(|value| value.to_str().unwrap_or_default());
        let mut line = json!({"function": self.name, "request_id": request_id});
        let response = match self.api.authenticate(authorization, request.iam_user_arn.is_some()).await {
            Ok(token) => {
                line["token"] = token.into();
                line["caller"] = request.iam_user_arn.as_deref().into();
                line["method"] = request.method.as_str().into();
                line["path"] = request.path.as_str().into();
                self.respond(&request, &request.body()?, deadline).await
            }
            // The path of an unauthenticated request is not logged: it is arbitrary text.
            Err(rejection) => rejection,
        };
        line["status"] = response.status.as_u16().into();
        let ApiResponse { status, headers, body } = response;
        let headers = headers.into_iter().map(|(name, value)| (name, value.to_owned()));
        Ok((FunctionUrlResponse::new(status, headers, body.into_bytes()), vec![line.to_string()]))
    }

    async fn respond(
        &self,
        request: &FunctionUrlRequest<'_>,
        body: &[u8],
        deadline: SystemTime,
    ) -> ApiResponse {
        let FunctionUrlRequest { method, path, query, .. } = request;
        let response = self.api.handle(method, path, query, body);
        timeout_at(handling_deadline(deadline), response).await.unwrap_or_else(|_| {
            ApiResponse::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "The request timed out; it may still have completed.",
            )
        })
    }
}
