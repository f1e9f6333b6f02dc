//! A request of a Function URL, and the answer to it. Source: "Request payload format" and "Response payload format" (2.0),
//! AWS Lambda Developer Guide.
//!
//! The function `bridge` reads its own: it answers whatever comes, and looks at the host, too.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};

/// A request.
pub struct UrlRequest<'a> {
    /// Its method.
    pub method: Method,
    /// Its path, from the first slash, as it was sent.
    pub path: String,
    /// Its query, without the question mark.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    body: Cow<'a, str>,
    is_base64: bool,
    /// The ARN of the caller whose signature AWS has checked, where it has checked one.
    pub signed_by: Option<String>,
}

/// The answer in the form a Function URL wants. Its body can hold a secret: it has no `Debug`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UrlAnswer {
    status_code: u16,
    headers: BTreeMap<String, String>,
    body: String,
    is_base64_encoded: bool,
}

/// It was no Function URL that called.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a request of a Function URL")]
pub struct NotARequest;

/// The fields that are used.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UrlEvent<'a> {
    #[serde(borrow, default)]
    raw_path: Cow<'a, str>,
    #[serde(borrow, default)]
    raw_query_string: Cow<'a, str>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(borrow, default)]
    body: Cow<'a, str>,
    #[serde(default)]
    is_base64_encoded: bool,
    #[serde(borrow)]
    request_context: Context<'a>,
}

#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    http: Http<'a>,
    /// There when AWS has checked a signature, and only then.
    authorizer: Option<Authorizer>,
}

#[derive(Deserialize)]
struct Http<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Authorizer {
    iam: Option<Signer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Signer {
    #[serde(default)]
    user_arn: Option<String>,
}

impl<'a> UrlRequest<'a> {
    /// The request that an event describes. A header that HTTP does not know is left out.
    ///
    /// # Errors
    /// [`NotARequest`].
    pub fn read(event: &'a str) -> Result<Self, NotARequest> {
        let event: UrlEvent<'_> = serde_json::from_str(event).map_err(|_| NotARequest)?;
        let header = |(name, value): (&String, &String)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        };
        let signer = event.request_context.authorizer.and_then(|authorizer| authorizer.iam);
        Ok(Self {
            method: Method::from_bytes(event.request_context.http.method.as_bytes())
                .map_err(|_| NotARequest)?,
            path: event.raw_path.into_owned(),
            query: event.raw_query_string.into_owned(),
            headers: event.headers.iter().filter_map(header).collect(),
            body: event.body,
            is_base64: event.is_base64_encoded,
            signed_by: signer.map(|signer| signer.user_arn.unwrap_or_default()),
        })
    }
}

impl UrlRequest<'_> {
    /// Its body. It is read only here, so that who is not let in has none read.
    ///
    /// # Errors
    /// [`NotARequest`].
    pub fn body(&self) -> Result<Vec<u8>, NotARequest> {
        if self.is_base64 {
            return BASE64.decode(self.body.as_bytes()).map_err(|_| NotARequest);
        }
        Ok(self.body.as_bytes().to_vec())
    }
}

impl UrlAnswer {
    /// An answer; a body that is not text goes over the wire as base64.
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
    fn a_request_is_read_as_it_was_sent() {
        let context = json!({"http": {"method": "PATCH"}, "authorizer": {"iam": {"userArn": "arn:a"}}});
        let event = json!({
            "rawPath": "/a%20b/", "rawQueryString": "c=%20&d", "requestContext": context, "body": "eyJ9",
            "isBase64Encoded": true, "headers": {"authorization": "Bearer x", "not a name": "y", "x": "a\nb"},
        })
        .to_string();
        let request = UrlRequest::read(&event).unwrap();
        assert_eq!((&request.method, request.path.as_str()), (&Method::PATCH, "/a%20b/"));
        assert_eq!((request.query.as_str(), request.body().unwrap().as_slice()), ("c=%20&d", &b"{\"}"[..]));
        assert_eq!((request.headers.len(), request.signed_by.as_deref()), (1, Some("arn:a")));
    }

    #[test]
    fn only_aws_says_that_a_request_is_signed() {
        for authorizer in [json!(null), json!({}), json!({"iam": null}), json!({"lambda": {"iam": {}}})] {
            let event =
                json!({"requestContext": {"http": {"method": "GET"}, "authorizer": authorizer}}).to_string();
            assert_eq!(UrlRequest::read(&event).unwrap().signed_by, None, "{authorizer}");
        }
    }

    #[test]
    fn what_is_no_request_is_not_answered() {
        let http = json!({"http": {"method": "POST"}});
        for event in [
            json!({}),
            json!([]),
            json!({"requestContext": {}}),
            json!({"requestContext": {"http": {"method": "NO METHOD"}}}),
            json!({"requestContext": http, "body": "%", "isBase64Encoded": true}),
        ] {
            let event = event.to_string();
            let body = UrlRequest::read(&event).and_then(|request| request.body());
            assert_eq!(body, Err(NotARequest), "{event}");
        }
    }

    #[test]
    fn an_answer_that_is_no_text_is_encoded() {
        let answer = |body: &[u8]| {
            let headers = [(http::header::ALLOW, "GET".to_owned())];
            serde_json::to_value(UrlAnswer::new(StatusCode::OK, headers, body.to_vec())).unwrap()
        };
        let expected =
            json!({"statusCode": 200, "headers": {"allow": "GET"}, "body": "é", "isBase64Encoded": false});
        assert_eq!(answer("é".as_bytes()), expected);
        assert_eq!(
            (&answer(b"\xff")["body"], &answer(b"\xff")["isBase64Encoded"]),
            (&json!("/w=="), &json!(true))
        );
    }
}
