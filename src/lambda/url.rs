//! Function URL requests and responses. Source: "Request payload format" and "Response payload format" (2.0), AWS
//! Lambda Developer Guide.
//!
//! Written without `lambda_http`, which ends the process on a body that is invalid base64, fails the invocation on a header with a
//! control character, and rewrites the URL that Twilio signs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};

pub struct FunctionUrlRequest<'a> {
    pub method: Method,
    /// The domain name that the client requested.
    pub host: String,
    /// The path as sent, not decoded.
    pub path: String,
    /// The query as sent, without the question mark.
    pub query: String,
    pub headers: HeaderMap,
    body: Cow<'a, str>,
    is_base64: bool,
    /// The ARN of the IAM caller; `None` unless AWS verified the caller's signature of the request.
    pub iam_user_arn: Option<String>,
}

/// The response to a Function URL request. The type has no `Debug`, because the body may contain a secret.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionUrlResponse {
    status_code: u16,
    headers: BTreeMap<String, String>,
    body: String,
    is_base64_encoded: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event is not a Function URL request")]
pub struct FunctionUrlEventError;

/// The fields of a Function URL event that this module uses.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionUrlEvent<'a> {
    #[serde(borrow, default)]
    raw_path: Cow<'a, str>,
    #[serde(borrow, default)]
    raw_query_string: Cow<'a, str>,
    headers: Option<BTreeMap<String, String>>,
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    #[serde(default)]
    is_base64_encoded: bool,
    #[serde(borrow)]
    request_context: RequestContext<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    #[serde(borrow, default)]
    domain_name: Cow<'a, str>,
    #[serde(borrow)]
    http: HttpContext<'a>,
    /// Only Lambda sets this field, and only after AWS verified the signature of an IAM caller.
    authorizer: Option<Authorizer>,
}

#[derive(Deserialize)]
struct HttpContext<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Authorizer {
    iam: Option<IamIdentity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IamIdentity {
    #[serde(default)]
    user_arn: Option<String>,
}

impl<'a> FunctionUrlRequest<'a> {
    /// Parses an event. Headers that are not valid in HTTP are omitted.
    pub fn parse(event: &'a str) -> Result<Self, FunctionUrlEventError> {
        let event: FunctionUrlEvent<'_> = serde_json::from_str(event).map_err(|_| FunctionUrlEventError)?;
        let header = |(name, value): (&String, &String)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        };
        let identity = event.request_context.authorizer.and_then(|authorizer| authorizer.iam);
        Ok(Self {
            method: Method::from_bytes(event.request_context.http.method.as_bytes())
                .map_err(|_| FunctionUrlEventError)?,
            host: event.request_context.domain_name.into_owned(),
            path: event.raw_path.into_owned(),
            query: event.raw_query_string.into_owned(),
            headers: event.headers.iter().flatten().filter_map(header).collect(),
            body: event.body.unwrap_or_default(),
            is_base64: event.is_base64_encoded,
            iam_user_arn: identity.map(|identity| identity.user_arn.unwrap_or_default()),
        })
    }
}

impl FunctionUrlRequest<'_> {
    /// Decodes the body. Callers authenticate the request before they call this method.
    pub fn body(&self) -> Result<Vec<u8>, FunctionUrlEventError> {
        if self.is_base64 {
            return BASE64.decode(self.body.as_bytes()).map_err(|_| FunctionUrlEventError);
        }
        Ok(self.body.as_bytes().to_vec())
    }
}

impl FunctionUrlResponse {
    /// Creates a response; a body that is not UTF-8 is base64-encoded.
    pub fn new(
        status: StatusCode,
        headers: impl IntoIterator<Item = (HeaderName, String)>,
        body: Vec<u8>,
    ) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        let (body, is_base64_encoded) = match String::from_utf8(body) {
            Ok(text) => (text, false),
            Err(bytes) => (BASE64.encode(bytes.as_bytes()), true),
        };
        Self { status_code: status.as_u16(), headers, body, is_base64_encoded }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_parsed_as_sent() {
        let context = json!({"http": {"method": "PATCH"}, "authorizer": {"iam": {"userArn": "arn:a"}}});
        let event = json!({
            "rawPath": "/a%20b/", "rawQueryString": "c=%20&d", "requestContext": context, "body": "eyJ9",
            "isBase64Encoded": true, "headers": {"authorization": "Bearer x", "not a name": "y", "x": "a\nb"},
        })
        .to_string();
        let request = FunctionUrlRequest::parse(&event).unwrap();
        assert_eq!((&request.method, request.path.as_str()), (&Method::PATCH, "/a%20b/"));
        assert_eq!((request.query.as_str(), request.body().unwrap().as_slice()), ("c=%20&d", &b"{\"}"[..]));
        assert_eq!((request.headers.len(), request.iam_user_arn.as_deref()), (1, Some("arn:a")));
    }

    #[test]
    fn only_aws_can_mark_a_request_as_signed() {
        for authorizer in [json!(null), json!({}), json!({"iam": null}), json!({"lambda": {"iam": {}}})] {
            let event =
                json!({"requestContext": {"http": {"method": "GET"}, "authorizer": authorizer}}).to_string();
            assert_eq!(FunctionUrlRequest::parse(&event).unwrap().iam_user_arn, None, "{authorizer}");
        }
    }

    #[test]
    fn an_invalid_event_is_rejected() {
        let http = json!({"http": {"method": "POST"}});
        for event in [
            json!({}),
            json!([]),
            json!({"requestContext": {}}),
            json!({"requestContext": {"http": {"method": "NO METHOD"}}}),
            json!({"requestContext": http, "body": "%", "isBase64Encoded": true}),
        ] {
            let event = event.to_string();
            let body = FunctionUrlRequest::parse(&event).and_then(|request| request.body());
            assert_eq!(body, Err(FunctionUrlEventError), "{event}");
        }
    }

    #[test]
    fn a_binary_response_is_base64_encoded() {
        let response = |body: &[u8]| {
            let headers = [(http::header::ALLOW, "GET".to_owned())];
            serde_json::to_value(FunctionUrlResponse::new(StatusCode::OK, headers, body.to_vec())).unwrap()
        };
        let expected =
            json!({"statusCode": 200, "headers": {"allow": "GET"}, "body": "é", "isBase64Encoded": false});
        assert_eq!(response("é".as_bytes()), expected);
        assert_eq!(
            (&response(b"\xff")["body"], &response(b"\xff")["isBase64Encoded"]),
            (&json!("/w=="), &json!(true))
        );
    }
}
