//! The front doors of a function: the event that each makes of an HTTP request, with the fields that AWS documents, and how each
//! reads the function's response.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontDoor {
    FunctionUrl,
    /// HTTP API with payload format 2.0, stage `prod`.
    HttpApiV2,
    /// HTTP API with payload format 1.0, stage `prod`.
    HttpApiV1,
    /// REST API, stage `prod`.
    RestApi,
    Alb,
    /// A load balancer whose target group has multi-value headers.
    AlbMultiValue,
}

pub const FRONT_DOORS: [FrontDoor; 6] = [
    FrontDoor::FunctionUrl,
    FrontDoor::HttpApiV2,
    FrontDoor::HttpApiV1,
    FrontDoor::RestApi,
    FrontDoor::Alb,
    FrontDoor::AlbMultiValue,
];

/// An HTTP request as its sender wrote it, to the path after the stage.
pub struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

impl FrontDoor {
    pub fn host(self) -> &'static str {
        match self {
            Self::FunctionUrl => "abc.lambda-url.us-east-1.on.aws",
            Self::Alb | Self::AlbMultiValue => "hooks.example",
            _ => "abc.execute-api.us-east-1.amazonaws.com",
        }
    }

    /// The URL to which a request with this path and query goes.
    pub fn url(self, path: &str, query: &str) -> String {
        let question_mark = if query.is_empty() { "" } else { "?" };
        format!("https://{}{}{path}{question_mark}{query}", self.host(), self.stage_prefix())
    }

    fn stage_prefix(self) -> &'static str {
        match self {
            Self::HttpApiV2 | Self::HttpApiV1 | Self::RestApi => "/prod",
            _ => "",
        }
    }

    pub fn event(self, request: &Request<'_>) -> Value {
        match self {
            Self::FunctionUrl | Self::HttpApiV2 => self.v2_event(request),
            Self::HttpApiV1 | Self::RestApi => self.v1_event(request),
            Self::Alb | Self::AlbMultiValue => self.alb_event(request),
        }
    }

    fn v2_event(self, request: &Request<'_>) -> Value {
        let stage = if self == Self::FunctionUrl { "$default" } else { "prod" };
        let path = format!("{}{}", self.stage_prefix(), request.path);
        let mut headers = Map::new();
        for (name, value) in request.headers {
            let joined = match headers.get(&name.to_lowercase()) {
                Some(Value::String(first)) => format!("{first},{value}"),
                _ => (*value).to_owned(),
            };
            headers.insert(name.to_lowercase(), joined.into());
        }
        headers.insert("host".into(), self.host().into());
        let (body, is_base64) = body(request, &["text/", "application/json"]);
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": request.query,
            "headers": headers,
            "requestContext": {
                "accountId": "anonymous", "apiId": "abc", "domainName": self.host(), "domainPrefix": "abc",
                "http": {"method": request.method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1",
                    "userAgent": "sender/1"},
                "requestId": "e1506fd5-9e7b-434f-bd42-4f8fa224b599", "routeKey": "$default", "stage": stage,
                "time": "12/Mar/2026:19:03:58 +0000", "timeEpoch": 1_773_342_238_000_i64
            },
            "isBase64Encoded": is_base64,
        });
        if !request.body.is_empty() {
            event["body"] = body.into();
        }
        let last = last_values(&decoded_parameters(request.query));
        if !last.is_empty() {
            event["queryStringParameters"] = last.into();
        }
        event
    }

    fn v1_event(self, request: &Request<'_>) -> Value {
        let stage_path = format!("/prod{}", request.path);
        let is_http_api = self == Self::HttpApiV1;
        let path = if is_http_api { &stage_path } else { request.path };
        let headers = owned(request.headers).chain([("Host".to_owned(), self.host().to_owned())]).collect();
        let parameters = decoded_parameters(request.query);
        let null_if_empty = |map: Map<String, Value>| if map.is_empty() { Value::Null } else { map.into() };
        // A REST API encodes only the media types that are configured as binary.
        let (body, is_base64) = match self {
            Self::RestApi => (String::from_utf8(request.body.to_vec()).unwrap(), false),
            _ => body(request, &["text/", "application/json"]),
        };
        json!({
            "version": "1.0",
            "resource": "/{proxy+}",
            "path": path,
            "httpMethod": request.method,
            "headers": last_values(&headers),
            "multiValueHeaders": all_values(&headers),
            "queryStringParameters": null_if_empty(last_values(&parameters)),
            "multiValueQueryStringParameters": null_if_empty(all_values(&parameters)),
            "requestContext": {
                "accountId": "123456789012", "apiId": "abc", "authorizer": {"claims": null, "scopes": null},
                "domainName": self.host(), "domainPrefix": "abc", "extendedRequestId": "request-id",
                "httpMethod": request.method,
                "identity": {"accessKey": null, "accountId": null, "caller": null,
                    "cognitoAuthenticationProvider": null, "cognitoAuthenticationType": null,
                    "cognitoIdentityId": null, "cognitoIdentityPoolId": null, "principalOrgId": null,
                    "sourceIp": "192.0.2.1", "user": null, "userAgent": "sender/1", "userArn": null,
                    "clientCert": null},
                "path": stage_path, "protocol": "HTTP/1.1", "requestId": "id=",
                "requestTime": "12/Mar/2026:19:03:58 +0000", "requestTimeEpoch": 1_773_342_238_000_i64,
                "resourceId": null, "resourcePath": "/{proxy+}", "stage": "prod"
            },
            "pathParameters": {"proxy": request.path.trim_start_matches('/')},
            "stageVariables": null,
            "body": if request.body.is_empty() { Value::Null } else { body.into() },
            "isBase64Encoded": is_base64,
        })
    }

    fn alb_event(self, request: &Request<'_>) -> Value {
        let forwarded = [
            ("host", self.host()),
            ("x-amzn-trace-id", "Root=1-5c536348-3d683b8b04734faae651f476"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-proto", "https"),
        ];
        let headers = owned(request.headers).map(|(name, value)| (name.to_lowercase(), value));
        let headers = headers.chain(owned(&forwarded)).collect();
        let parameters = raw_parameters(request.query);
        let (body, is_base64) =
            body(request, &["text/", "application/json", "application/javascript", "application/xml"]);
        let mut event = json!({
            "requestContext": {"elb": {
                "targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/hooks/49e9d65c45c6791a"
            }},
            "httpMethod": request.method,
            "path": request.path,
            "body": body,
            "isBase64Encoded": is_base64,
        });
        if self == Self::AlbMultiValue {
            event["multiValueHeaders"] = all_values(&headers).into();
            event["multiValueQueryStringParameters"] = all_values(&parameters).into();
        } else {
            event["headers"] = last_values(&headers).into();
            event["queryStringParameters"] = last_values(&parameters).into();
        }
        event
    }

    /// Status, headers and body of a function's response. Panics if the front door would not understand it.
    pub fn read_response(self, response: &Value) -> (u64, Map<String, Value>, String) {
        let status = response["statusCode"].as_u64().unwrap();
        let headers = match self {
            Self::AlbMultiValue => {
                assert_eq!(response.get("headers"), None, "ignored by this load balancer");
                let headers = response["multiValueHeaders"].as_object().unwrap();
                headers.iter().map(|(name, values)| (name.clone(), values[0].clone())).collect()
            }
            _ => {
                assert_eq!(response.get("multiValueHeaders"), None);
                response["headers"].as_object().unwrap().clone()
            }
        };
        let description = response.get("statusDescription");
        if matches!(self, Self::Alb | Self::AlbMultiValue) {
            assert!(description.unwrap().as_str().unwrap().starts_with(&format!("{status} ")));
        } else {
            assert_eq!(description, None);
        }
        assert_eq!(response["isBase64Encoded"], false);
        (status, headers, response["body"].as_str().unwrap().to_owned())
    }
}

type Pairs = Vec<(String, String)>;

fn owned<'a>(pairs: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = (String, String)> + 'a {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

fn raw_parameters(query: &str) -> Pairs {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    parameters.map(|p| p.split_once('=').unwrap_or((p, ""))).map(|(n, v)| (n.into(), v.into())).collect()
}

fn decoded_parameters(query: &str) -> Pairs {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8().unwrap().into_owned();
    raw_parameters(query).iter().map(|(name, value)| (decode(name), decode(value))).collect()
}

fn last_values(pairs: &Pairs) -> Map<String, Value> {
    pairs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
}

fn all_values(pairs: &Pairs) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, value) in pairs {
        let values = map.entry(name.clone()).or_insert_with(|| json!([]));
        values.as_array_mut().unwrap().push(value.as_str().into());
    }
    map
}

/// The body in an event, and whether it is base64-encoded: unless its media type begins like one of `text_types`.
fn body(request: &Request<'_>, text_types: &[&str]) -> (String, bool) {
    let media_type = request
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map_or("", |h| h.1);
    if request.body.is_empty() || text_types.iter().any(|text_type| media_type.starts_with(text_type)) {
        return (String::from_utf8(request.body.to_vec()).unwrap(), false);
    }
    (BASE64.encode(request.body), true)
}
