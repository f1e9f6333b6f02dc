//! The function `feed` behind a streaming URL.

use std::time::{Duration, SystemTime};

use hookbridge::log::EventStore as _;
use serde_json::{Value, json};

use crate::actors::database::Database;
use crate::actors::log::{batch, now, record};
use crate::actors::runtime_api::{RunningFunction, RuntimeResponse};

fn request(path: &str, query: &str, headers: &Value, is_signed: bool) -> Value {
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
fn read_whole(answering: &RuntimeResponse) -> (u64, Value, String) {
    let all = String::from_utf8(answering.read_rest()).unwrap();
    let (prelude, body) = all.split_once("\0\0\0\0\0\0\0\0").unwrap();
    let prelude: Value = serde_json::from_str(prelude).unwrap();
    (prelude["statusCode"].as_u64().unwrap(), prelude["headers"].clone(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_sends_recorded_events_and_ends_in_time() {
    let database = Database::new().await;
    let log = database.log().await;
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let add = |id: &str| {
            runtime.block_on(log.record(&batch(id, vec![record(id, now())]))).unwrap();
        };
        let environment = [("DATABASE_URL", database.url.as_str()), ("RESPONSE_STREAM", "true")];
        let function = RunningFunction::start(env!("CARGO_BIN_EXE_feed"), &environment);
        let stream = json!({"accept": "text/event-stream"});

        let deadline = SystemTime::now() + Duration::from_secs(12);
        let answering = function.invoke(&request("/events", "after=start", &stream, true), deadline);
        let head = answering.head.to_lowercase();
        assert!(head.contains("lambda-runtime-function-response-mode: streaming"), "{head}");
        assert!(head.contains("content-type: application/vnd.awslambda.http-integration-response"), "{head}");
        let begun = answering.read_until("\n\n");
        let (prelude, first) = begun.split_once("\0\0\0\0\0\0\0\0").unwrap();
        let prelude: Value = serde_json::from_str(prelude).unwrap();
        assert_eq!(prelude["statusCode"], 200);
        assert_eq!(prelude["headers"]["content-type"], "text/event-stream");
        let place = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
        // An event is sent as it is recorded, while the function runs.
        add("one");
        assert!(answering.read_until("\n\n").contains(r#""id":"one""#));
        add("two");
        let two = answering.read_until("\n\n");
        assert!(two.contains(r#""id":"two""#), "{two}");
        answering.read_rest();
        assert!(SystemTime::now() < deadline, "it ends by itself");

        // The stream resumes after the client's last event id.
        let mut again = stream.clone();
        again["last-event-id"] = place.into();
        let answering = function
            .invoke(&request("/events/", "", &again, true), SystemTime::now() + Duration::from_secs(8));
        let seen = answering.read_until(r#""id":"two""#);
        assert!(seen.contains(r#""id":"one""#), "{seen}");
        answering.read_rest();

        // Every other response has the same format.
        let (status, headers, body) =
            read_whole(&function.invoke(&request("/events", "", &json!({}), true), short_deadline()));
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
            let (status, _, body) =
                read_whole(&function.invoke(&request(path, query, &stream, is_signed), short_deadline()));
            assert_eq!(status, expected, "{path}?{query}: {body}");
        }

        // A body is decoded only for a client that has been authenticated.
        for (is_signed, expected) in [(false, 401), (true, 400)] {
            let mut event = request("/consumers/a/ack", "", &json!({}), is_signed);
            event["body"] = "%".into();
            event["isBase64Encoded"] = true.into();
            let (status, _, body) = read_whole(&function.invoke(&event, short_deadline()));
            assert_eq!(status, expected, "{body}");
        }

        // A function whose URL does not stream rejects streams.
        let function = RunningFunction::start(env!("CARGO_BIN_EXE_feed"), &environment[..1]);
        let answer = function.invoke(&request("/events", "", &stream, true), short_deadline());
        assert!(!answer.head.to_lowercase().contains("streaming"), "{}", answer.head);
        let answer: Value = serde_json::from_slice(&answer.read_rest()).unwrap();
        assert_eq!(
            (&answer["statusCode"], &answer["isBase64Encoded"]),
            (&json!(406), &json!(false)),
            "{answer}"
        );
    })
    .await
    .unwrap();
}
