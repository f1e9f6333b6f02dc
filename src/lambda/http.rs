//! HTTP requests to a function, and its responses, in the payload format of each front door: Function URL, API Gateway
//! (HTTP API and REST API) and Application Load Balancer.
//!
//! `lambda_http` decodes the events. Its conversion into `http::Request` is not used, because that conversion panics on a body
//! that is invalid base64, and rewrites the URL that some providers sign.
//!
//! Sources: "Request payload format" and "Response payload format" (2.0), AWS Lambda Developer Guide; "Working with AWS Lambda
//! proxy integrations for HTTP APIs" and "Input format of a Lambda function for proxy integration", Amazon API Gateway Developer
//! Guide; "Lambda functions as targets", User Guide for Application Load Balancers.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use lambda_http::aws_lambda_events::alb::AlbTargetGroupRequest;
use lambda_http::aws_lambda_events::apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest};
use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::request::LambdaRequest;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;

/// ASCII characters that the path of a URL cannot contain, except `%`. Source: RFC 3986, section 3.3.
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// An HTTP request from any front door.
pub struct HttpRequest {
    pub method: Method,
    pub url: ReceivedUrl,
    pub headers: HeaderMap,
    body: String,
    is_base64: bool,
    /// The ARN of the IAM caller; `None` unless AWS verified the caller's signature of the request.
    pub iam_user_arn: Option<String>,
    /// The format of the event; the response has the same format.
    pub payload_format: PayloadFormat,
}

/// The URL of a request, as far as its front door reports it.
pub struct ReceivedUrl {
    /// `https` or `http`.
    pub scheme: &'static str,
    /// The host that the client requested, and the port unless it is the scheme's default.
    pub authority: String,
    /// The path without the stage of API Gateway.
    pub path: String,
    /// The path with the stage of API Gateway; `None` if there is no stage.
    pub path_with_stage: Option<String>,
    pub query: ReceivedQuery,
}

/// The query of a request. Some front doors report only its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceivedQuery {
    /// The query as sent, without the question mark; it may be empty.
    AsSent(String),
    /// The parameters, sorted by name, because the front door does not report their order.
    Parameters {
        /// Names and values.
        pairs: Vec<(String, String)>,
        /// Whether names and values are percent-encoded as sent. Otherwise they are decoded.
        is_encoded: bool,
        /// Whether a repeated name has all of its values. Otherwise it has only the last one.
        has_all_values: bool,
    },
}

/// The payload format of a front door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadFormat {
    /// Function URL and HTTP API (payload format 2.0).
    V2,
    /// REST API and HTTP API (payload format 1.0).
    V1,
    /// Application Load Balancer.
    Alb {
        /// Whether the target group's attribute `lambda.multi_value_headers.enabled` is on.
        has_multi_value_headers: bool,
    },
}

/// The response to an HTTP request. The type has no `Debug`, because the body may contain a secret.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<BTreeMap<String, [String; 1]>>,
    body: String,
    is_base64_encoded: bool,
}

/// Why an event cannot be handled as an HTTP request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpEventError {
    #[error("the event is not an HTTP request")]
    NotHttp,
    #[error("the body is not valid base64")]
    InvalidBase64,
}

impl HttpRequest {
    /// Parses an event. Headers that are not valid in HTTP are omitted.
    ///
    /// # Errors
    /// The event is not an HTTP request.
    pub fn parse(event: &str) -> Result<Self, HttpEventError> {
        let request = parse_event(event).or_else(|_| parse_without_invalid_headers(event));
        match request.map_err(|_| HttpEventError::NotHttp)? {
            LambdaRequest::ApiGatewayV2(request) => Ok(request.into()),
            LambdaRequest::ApiGatewayV1(request) => Ok(request.into()),
            LambdaRequest::Alb(request) => Ok(request.into()),
            _ => Err(HttpEventError::NotHttp),
        }
    }

    /// Decodes the body. Callers authenticate the request before they call this method.
    ///
    /// # Errors
    /// The body is invalid base64.
    pub fn body(&self) -> Result<Vec<u8>, HttpEventError> {
        if self.is_base64 {
            return BASE64.decode(self.body.as_bytes()).map_err(|_| HttpEventError::InvalidBase64);
        }
        Ok(self.body.as_bytes().to_vec())
    }

    /// Whether the request is a health check of an Application Load Balancer.
    pub fn is_health_check(&self) -> bool {
        let user_agent = self.headers.get(USER_AGENT).map(HeaderValue::as_bytes).unwrap_or_default();
        matches!(self.payload_format, PayloadFormat::Alb { .. })
            && self.method == Method::GET
            && user_agent.starts_with(b"ELB-HealthChecker/")
            // The load balancer adds these headers to the requests of clients.
            && !["x-amzn-trace-id", "x-forwarded-for"].iter().any(|name| self.headers.contains_key(*name))
    }
}

/// Parses an event. `LambdaRequest` copies the event and tries one event type after the other, which is slow for a large body, so the
/// type that the text suggests is tried first. A client can choose parts of the text, but not the members that each type requires.
fn parse_event(event: &str) -> serde_json::Result<LambdaRequest> {
    let suggested = if event.contains("\"elb\":") {
        serde_json::from_str(event).map(LambdaRequest::Alb)
    } else if event.contains("\"httpMethod\":") {
        serde_json::from_str(event).map(LambdaRequest::ApiGatewayV1)
    } else {
        serde_json::from_str(event).map(LambdaRequest::ApiGatewayV2)
    };
    suggested.or_else(|_| serde_json::from_str(event))
}

/// Parses an event again without what `lambda_http` rejects but a client or a front door may send: headers that are not valid in
/// HTTP, and members that are null.
fn parse_without_invalid_headers(event: &str) -> serde_json::Result<LambdaRequest> {
    let mut event: BTreeMap<String, Value> = serde_json::from_str(event)?;
    event.retain(|_, value| !value.is_null());
    for name in ["headers", "multiValueHeaders"] {
        if let Some(Value::Object(headers)) = event.get_mut(name) {
            headers.retain(|name, value| {
                let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                let is_valid_value =
                    |value: &Value| value.as_str().is_some_and(|v| v.parse::<HeaderValue>().is_ok());
                HeaderName::try_from(name).is_ok() && values.iter().all(is_valid_value)
            });
        }
    }
    parse_event(&serde_json::to_string(&event)?)
}

impl From<ApiGatewayV2httpRequest> for HttpRequest {
    fn from(request: ApiGatewayV2httpRequest) -> Self {
        let context = request.request_context;
        let raw_path = request.raw_path.unwrap_or_default();
        let stage = context.stage.filter(|stage| stage != "$default");
        let path = stage.and_then(|stage| strip_stage(&raw_path, &stage));
        let (path, path_with_stage) = match path {
            Some(path) => (path, Some(sent_path(&raw_path))),
            None => (raw_path, None),
        };
        let identity = context.authorizer.and_then(|authorizer| authorizer.iam);
        Self {
            method: context.http.method,
            url: ReceivedUrl {
                scheme: "https",
                authority: context.domain_name.unwrap_or_default(),
                path: sent_path(&path),
                path_with_stage,
                query: ReceivedQuery::AsSent(request.raw_query_string.unwrap_or_default()),
            },
            headers: request.headers,
            body: request.body.unwrap_or_default(),
            is_base64: request.is_base64_encoded,
            iam_user_arn: identity.map(|identity| identity.user_arn.unwrap_or_default()),
            payload_format: PayloadFormat::V2,
        }
    }
}

impl From<ApiGatewayProxyRequest> for HttpRequest {
    fn from(request: ApiGatewayProxyRequest) -> Self {
        let context = request.request_context;
        let path = request.path.unwrap_or_default();
        // The path of an HTTP API contains the stage, the path of a REST API does not.
        let stage = context.stage.unwrap_or_default();
        let path_without_stage = sent_path(&strip_stage(&path, &stage).unwrap_or_else(|| path.clone()));
        let path_with_stage = sent_path(&context.path.unwrap_or(path));
        Self {
            method: request.http_method,
            url: ReceivedUrl {
                scheme: "https",
                authority: context.domain_name.unwrap_or_default(),
                path_with_stage: Some(path_with_stage).filter(|path| *path != path_without_stage),
                path: path_without_stage,
                query: received_query(
                    &request.query_string_parameters,
                    &request.multi_value_query_string_parameters,
                    false,
                ),
            },
            headers: received_headers(request.headers, request.multi_value_headers),
            body: request.body.unwrap_or_default(),
            is_base64: request.is_base64_encoded,
            iam_user_arn: context.identity.user_arn.filter(|arn| !arn.is_empty()),
            payload_format: PayloadFormat::V1,
        }
    }
}

impl From<AlbTargetGroupRequest> for HttpRequest {
    fn from(request: AlbTargetGroupRequest) -> Self {
        let has_multi_value_headers = !request.multi_value_headers.is_empty();
        let headers = received_headers(request.headers, request.multi_value_headers);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let scheme = if header("x-forwarded-proto") == Some("http") { "http" } else { "https" };
        let default_port = if scheme == "https" { "443" } else { "80" };
        let mut authority = header(HOST.as_str()).unwrap_or_default().to_owned();
        if let Some(port) = header("x-forwarded-port").filter(|port| *port != default_port) {
            let port = format!(":{port}");
            if !authority.ends_with(&port) {
                authority += &port;
            }
        }
        Self {
            method: request.http_method,
            url: ReceivedUrl {
                scheme,
                authority,
                path: sent_path(&request.path.unwrap_or_default()),
                path_with_stage: None,
                query: received_query(
                    &request.query_string_parameters,
                    &request.multi_value_query_string_parameters,
                    true,
                ),
            },
            headers,
            body: request.body.unwrap_or_default(),
            is_base64: request.is_base64_encoded,
            iam_user_arn: None,
            payload_format: PayloadFormat::Alb { has_multi_value_headers },
        }
    }
}

/// The path as it was sent, as far as it is known: an HTTP API reports it decoded.
fn sent_path(path: &str) -> String {
    if path.is_empty() { "/".to_owned() } else { utf8_percent_encode(path, NOT_IN_PATH).to_string() }
}

/// Removes the API Gateway stage from the start of `path`; `None` if `path` does not start with it.
fn strip_stage(path: &str, stage: &str) -> Option<String> {
    let rest = path.strip_prefix('/')?.strip_prefix(stage)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
}

/// The headers with all their values, if the front door reports them; otherwise each with its last value.
fn received_headers(last_values: HeaderMap, all_values: HeaderMap) -> HeaderMap {
    if all_values.is_empty() { last_values } else { all_values }
}

fn received_query(last_values: &QueryMap, all_values: &QueryMap, is_encoded: bool) -> ReceivedQuery {
    let has_all_values = !all_values.is_empty() || last_values.is_empty();
    let parameters = if has_all_values { all_values } else { last_values };
    // The map's own iterator panics on a name without values.
    let parameters = serde_json::to_value(parameters).and_then(serde_json::from_value);
    let parameters: BTreeMap<String, Vec<String>> = parameters.unwrap_or_default();
    let pairs = parameters
        .into_iter()
        .flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)))
        .collect();
    ReceivedQuery::Parameters { pairs, is_encoded, has_all_values }
}

/// The query as sent, or a query with the parameters that arrived.
impl std::fmt::Display for ReceivedQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AsSent(query) => f.write_str(query),
            Self::Parameters { pairs, is_encoded, .. } => {
                let encode = |text: &str| match is_encoded {
                    true => text.to_owned(),
                    false => utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
                };
                let parameters =
                    pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
                f.write_str(&parameters.collect::<Vec<_>>().join("&"))
            }
        }
    }
}

impl HttpResponse {
    /// Creates a response in the format of the request's front door. A body that is not UTF-8 is base64-encoded.
    pub fn new(
        payload_format: PayloadFormat,
        status: StatusCode,
        headers: impl IntoIterator<Item = (HeaderName, String)>,
        body: Vec<u8>,
    ) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name.to_string(), value));
        let is_alb = matches!(payload_format, PayloadFormat::Alb { .. });
        let (headers, multi_value_headers) = match payload_format {
            PayloadFormat::Alb { has_multi_value_headers: true } => {
                (None, Some(headers.map(|(name, value)| (name, [value])).collect()))
            }
            _ => (Some(headers.collect()), None),
        };
        let (body, is_base64_encoded) = match String::from_utf8(body) {
            Ok(text) => (text, false),
            Err(bytes) => (BASE64.encode(bytes.as_bytes()), true),
        };
        Self {
            status_code: status.as_u16(),
            status_description: is_alb.then(|| status.to_string()),
            headers,
            multi_value_headers,
            body,
            is_base64_encoded,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(event: &Value) -> Result<HttpRequest, HttpEventError> {
        HttpRequest::parse(&event.to_string())
    }

    #[test]
    fn a_request_is_parsed_as_sent() {
        let context = json!({"http": {"method": "PATCH"}, "authorizer": {"iam": {"userArn": "arn:a"}}});
        let event = json!({
            "rawPath": "/a%20b/", "rawQueryString": "c=%20&d", "requestContext": context, "body": "eyJ9",
            "isBase64Encoded": true, "headers": {"authorization": "Bearer x", "not a name": "y", "x": "a\nb"},
        });
        let request = parse(&event).unwrap();
        assert_eq!((&request.method, request.url.path.as_str()), (&Method::PATCH, "/a%20b/"));
        assert_eq!(request.url.query, ReceivedQuery::AsSent("c=%20&d".into()));
        assert_eq!((request.body().unwrap().as_slice(), request.headers.len()), (&b"{\"}"[..], 1));
        assert_eq!(request.iam_user_arn.as_deref(), Some("arn:a"));
    }

    #[test]
    fn the_stage_of_api_gateway_is_separated_from_the_path() {
        let v2 = |path: &str, stage: &str| {
            let event =
                json!({"rawPath": path, "requestContext": {"stage": stage, "http": {"method": "GET"}}});
            let url = parse(&event).unwrap().url;
            (url.path, url.path_with_stage)
        };
        assert_eq!(v2("/prod/events", "prod"), ("/events".into(), Some("/prod/events".into())));
        assert_eq!(v2("/prod", "prod"), ("/".into(), Some("/prod".into())));
        assert_eq!(v2("/events", "$default"), ("/events".into(), None));
        assert_eq!(v2("/production", "prod"), ("/production".into(), None));
        assert_eq!(v2("/a b?c#d/%20é", "$default").0, "/a%20b%3Fc%23d/%20%C3%A9", "decoded by an HTTP API");
        let v1 = |path: &str, context_path: &str| {
            let context = json!({"stage": "prod", "path": context_path, "httpMethod": "GET"});
            let event = json!({"path": path, "httpMethod": "GET", "requestContext": context});
            let url = parse(&event).unwrap().url;
            (url.path, url.path_with_stage)
        };
        assert_eq!(v1("/events", "/prod/events"), ("/events".into(), Some("/prod/events".into())));
        assert_eq!(v1("/prod/events", "/prod/events"), ("/events".into(), Some("/prod/events".into())));
        assert_eq!(v1("/events", "/events"), ("/events".into(), None));
    }

    #[test]
    fn a_load_balancer_reports_the_scheme_and_the_port() {
        let url = |proto: &str, port: &str, host: &str| {
            let headers = json!({"host": host, "x-forwarded-proto": proto, "x-forwarded-port": port});
            let url = parse(&json!({"httpMethod": "GET", "headers": headers, "requestContext": {"elb": {}}}));
            let url = url.unwrap().url;
            (url.scheme, url.authority)
        };
        assert_eq!(url("https", "443", "a.example"), ("https", "a.example".into()));
        assert_eq!(url("http", "80", "a.example"), ("http", "a.example".into()));
        assert_eq!(url("https", "8443", "a.example:8443"), ("https", "a.example:8443".into()));
        assert_eq!(url("https", "8443", "a.example"), ("https", "a.example:8443".into()));
    }

    #[test]
    fn a_query_of_parameters_is_written_with_all_of_them() {
        let pairs = vec![("a b".to_owned(), "ü&".to_owned()), ("c".to_owned(), String::new())];
        let query =
            |is_encoded| ReceivedQuery::Parameters { pairs: pairs.clone(), is_encoded, has_all_values: true };
        assert_eq!(query(false).to_string(), "a%20b=%C3%BC%26&c=");
        assert_eq!(query(true).to_string(), "a b=ü&&c=");
    }

    #[test]
    fn only_aws_can_mark_a_request_as_signed() {
        for authorizer in [json!(null), json!({}), json!({"iam": null}), json!({"lambda": {"iam": {}}})] {
            let event = json!({"requestContext": {"http": {"method": "GET"}, "authorizer": authorizer}});
            assert_eq!(parse(&event).unwrap().iam_user_arn, None, "{authorizer}");
        }
        let v1 = |identity| {
            let context = json!({"httpMethod": "GET", "identity": identity});
            parse(&json!({"httpMethod": "GET", "requestContext": context})).unwrap().iam_user_arn
        };
        assert_eq!(v1(json!({"userArn": null})), None);
        assert_eq!(v1(json!({"userArn": ""})), None);
        assert_eq!(v1(json!({"userArn": "arn:a"})).as_deref(), Some("arn:a"));
    }

    #[test]
    fn a_client_cannot_choose_the_type_of_an_event() {
        let context = json!({"domainName": "a.example", "http": {"method": "GET"}});
        let parameters = json!({"httpMethod": "POST", "elb": "x"});
        let event = json!({
            "rawPath": "/", "rawQueryString": "httpMethod=POST&elb=x", "queryStringParameters": parameters,
            "requestContext": context, "headers": {"elb": "x", "httpMethod": "POST"},
        });
        let request = parse(&event).unwrap();
        assert_eq!((request.payload_format, &request.method), (PayloadFormat::V2, &Method::GET));
        let context = json!({"httpMethod": "GET"});
        let headers = json!({"elb": "x"});
        let event = json!({"httpMethod": "GET", "headers": headers, "requestContext": context});
        assert_eq!(parse(&event).unwrap().payload_format, PayloadFormat::V1);
    }

    #[test]
    fn an_invalid_event_is_rejected() {
        let post = json!({"http": {"method": "POST"}});
        for event in [
            json!({}),
            json!([]),
            json!({"requestContext": {}}),
            json!({"requestContext": {"http": {"method": "NO METHOD"}}}),
            json!({"requestContext": post, "isBase64Encoded": "yes"}),
        ] {
            assert_eq!(parse(&event).err(), Some(HttpEventError::NotHttp), "{event}");
        }
        let event = json!({"requestContext": post, "body": "%", "isBase64Encoded": true});
        assert_eq!(parse(&event).unwrap().body(), Err(HttpEventError::InvalidBase64));
    }

    #[test]
    fn a_binary_response_is_base64_encoded() {
        let response = |body: &[u8]| {
            let headers = [(http::header::ALLOW, "GET".to_owned())];
            let response = HttpResponse::new(PayloadFormat::V2, StatusCode::OK, headers, body.to_vec());
            serde_json::to_value(response).unwrap()
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
