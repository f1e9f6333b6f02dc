//! The function `feed` behind a streaming URL.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::actors::database::Database;
use crate::actors::log::{batch, new_event, now};
use crate::actors::runtime_api::{RunningFunction, RuntimeResponse};

fn url_event(path: &str, query: &str, headers: &Value, is_signed: bool) -> Value {
    let iam = if is_signed {
        json!({"iam": {"userArn": "arn:aws:iam::000000000000:user/me"}})
    } else {
        Value::Null
    };
    json!({"rawPath": path, "rawQueryString": query, "headers": headers,
        "requestContext": {"http": {"method": "GET"}, "authorizer": iam}})
}

fn short_deadline() -> SystemTime {
    SystemTime::now() + Duration::from_secs(20)
}

/// Status, headers and body of a response in the streaming format.
fn read_response(response: &RuntimeResponse) -> (u64, Value, String) {
    let text = String::from_utf8(response.read_to_end()).unwrap();
    let (prelude, body) = text.split_once("\0\0\0\0\0\0\0\0").unwrap();
    let prelude: Value = serde_json::from_str(prelude).unwrap();
    (prelude["statusCode"].as_u64().unwrap(), prelude["headers"].clone(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn a_stream_sends_recorded_events_and_ends_in_time() {
    let database = Database::new().await;
    let log = database.log().await;
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let record = |id: &str| {
            runtime.block_on(log.record(&batch(id, vec![new_event(id, now())]))).unwrap();
        };
        let environment = [("DATABASE_URL", database.url.as_str()), ("RESPONSE_STREAM", "true")];
        let function = RunningFunction::start(env!("CARGO_BIN_EXE_feed"), &environment);
        let stream_headers = json!({"accept": "text/event-stream"});

        let deadline = SystemTime::now() + Duration::from_secs(12);
        let response = function.invoke(&url_event("/events", "after=start", &stream_headers, true), deadline);
        let head = response.head.to_lowercase();
        assert!(head.contains("lambda-runtime-function-response-mode: streaming"), "{head}");
        assert!(head.contains("content-type: application/vnd.awslambda.http-integration-response"), "{head}");
        let beginning = response.read_until("\n\n");
        let (prelude, first) = beginning.split_once("\0\0\0\0\0\0\0\0").unwrap();
        let prelude: Value = serde_json::from_str(prelude).unwrap();
        assert_eq!(prelude["statusCode"], 200);
        assert_eq!(prelude["headers"]["content-type"], "text/event-stream");
        let cursor = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
        // An event is sent as it is recorded, while the function runs.
        record("one");
        assert!(response.read_until("\n\n").contains(r#""id":"one""#));
        record("two");
        let chunk = response.read_until("\n\n");
        assert!(chunk.contains(r#""id":"two""#), "{chunk}");
        response.read_to_end();
        assert!(SystemTime::now() < deadline, "the stream ends before the deadline");

        // The stream resumes after the client's last event id.
        let mut resume_headers = stream_headers.clone();
        resume_headers["last-event-id"] = cursor.into();
        let response = function.invoke(
            &url_event("/events/", "", &resume_headers, true),
            SystemTime::now() + Duration::from_secs(8),
        );
        let text = response.read_until(r#""id":"two""#);
        assert!(text.contains(r#""id":"one""#), "{text}");
        response.read_to_end();

        // Every other response has the same format.
        let (status, headers, body) =
            read_response(&function.invoke(&url_event("/events", "", &json!({}), true), short_deadline()));
        let page: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &headers["content-type"]), (200, &json!("application/json")));
        assert_eq!(page["data"].as_array().unwrap().len(), 2);
        for (path, query, is_signed, expected) in [
            ("/events", "", false, 401),
            ("/events", "after=nonsense", true, 400),
            ("/events", "before=now", true, 400),
            ("/consumers/none/events", "", true, 404),
            ("/api/v1/events/message", "per_page=0", true, 400),
        ] {
            let (status, _, body) = read_response(
                &function.invoke(&url_event(path, query, &stream_headers, is_signed), short_deadline()),
            );
            assert_eq!(status, expected, "{path}?{query}: {body}");
        }

        // The console's files are the same for everybody; nothing else below its path is.
        let console = |path: &str| {
            read_response(&function.invoke(&url_event(path, "", &json!({}), false), short_deadline()))
        };
        let (status, headers, page) = console("/console");
        assert_eq!((status, &headers["content-type"]), (200, &json!("text/html; charset=utf-8")));
        assert!(headers["content-security-policy"].as_str().unwrap().starts_with("default-src 'none'"));
        assert!(page.contains("console/app.js"));
        let (status, headers, _) = console("/console/app.js");
        assert_eq!((status, &headers["content-type"]), (200, &json!("text/javascript; charset=utf-8")));
        for path in ["/console/", "/console/no.js", "/console/../events", "/consoles"] {
            assert_eq!(console(path).0, 401, "{path}");
        }

        // A body is decoded only for a client that has been authenticated.
        for (is_signed, expected) in [(false, 401), (true, 400)] {
            let mut event = url_event("/consumers/a/ack", "", &json!({}), is_signed);
            event["body"] = "%".into();
            event["isBase64Encoded"] = true.into();
            let (status, _, body) = read_response(&function.invoke(&event, short_deadline()));
            assert_eq!(status, expected, "{body}");
        }

        // A function whose URL does not stream rejects streams.
        let function = RunningFunction::start(env!("CARGO_BIN_EXE_feed"), &environment[..1]);
        let response = function.invoke(&url_event("/events", "", &stream_headers, true), short_deadline());
        assert!(!response.head.to_lowercase().contains("streaming"), "{}", response.head);
        let response: Value = serde_json::from_slice(&response.read_to_end()).unwrap();
        assert_eq!(
            (&response["statusCode"], &response["isBase64Encoded"]),
            (&json!(406), &json!(false)),
            "{response}"
        );
    })
    .await
    .unwrap();
}
