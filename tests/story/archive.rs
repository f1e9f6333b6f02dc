//! Archiving batches: each is stored unchanged, once, before the response.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hookbridge::archive::{Archive, S3Archive};
use serde_json::Value;

use crate::actors::aws::{aws, endpoint, name, secret, text};
use crate::actors::cloud_function::{CloudFunction, config, url_event};
use crate::actors::fault_proxy::{Fault, FaultProxy};
use crate::actors::front_door::{FRONT_DOORS, Request};
use crate::actors::raw_http::Reply;
use crate::actors::server::{Server, hookbridge};

const SECRET: &str = "hooks:pass:word";
const BATCH: &str =
    "[{\"msys\": {\"track_event\": {\"type\": \"click\", \"n\": 1.50, \"who\": \"Grüße\\u0000\"}}}]";

fn basic_authorization(secret: &str) -> String {
    format!("Basic {}", BASE64.encode(secret))
}

/// A server with this SparkPost secret.
fn serve(secret: &str) -> Server {
    Server::start_with(&["--secret", &format!("sparkpost={secret}")])
}

fn post(server: &Server, authorization: &str, id: &str, body: &str) -> Reply {
    let headers: [(&str, &[u8]); 3] = [
        ("Content-Type", b"application/json"),
        ("X-MessageSystems-Batch-ID", id.as_bytes()),
        ("Authorization", authorization.as_bytes()),
    ];
    server.post("sparkpost", &headers, body.as_bytes())
}

/// The names and contents of the archive's files.
fn archived(server: &Server) -> Vec<(String, String)> {
    let folder: PathBuf = server.folder.path().join("archive/sparkpost");
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut archived: Vec<_> = files
        .map(|file| file.unwrap())
        .map(|file| (file.file_name().into_string().unwrap(), std::fs::read_to_string(file.path()).unwrap()))
        .collect();
    archived.sort();
    archived
}

#[test]
fn a_batch_is_archived_byte_for_byte_and_a_repeat_changes_nothing() {
    let server = serve(SECRET);
    let reply = post(&server, &basic_authorization(SECRET), "b1", BATCH);
    assert_eq!((reply.status, reply.body.as_str()), (200, "Batch stored"));
    assert_eq!(archived(&server), [("b1.json".to_owned(), BATCH.to_owned())]);
    let reply = post(&server, &basic_authorization(SECRET), "b1", "[1]");
    assert_eq!((reply.status, reply.body.as_str()), (200, "Batch stored before"));
    assert_eq!(archived(&server), [("b1.json".to_owned(), BATCH.to_owned())]);
    assert_eq!(post(&server, &basic_authorization(SECRET), "b2", " [ content is not parsed").status, 200);
    assert_eq!(archived(&server).len(), 2);
    assert!(server.events().is_empty(), "no event is published");
}

#[test]
fn a_batch_with_every_event_type_is_archived_unchanged() {
    let batch = include_str!("../vectors/sparkpost-batch.json");
    let server = serve(SECRET);
    assert_eq!(post(&server, &basic_authorization(SECRET), "b1", batch).status, 200);
    assert_eq!(archived(&server), [("b1.json".to_owned(), batch.to_owned())]);
}

#[test]
fn a_batch_without_the_secret_is_401_and_not_archived() {
    let server = serve(SECRET);
    let wrong = [
        String::new(),
        "Basic".into(),
        "Basic ".into(),
        "Basic %%%".into(),
        basic_authorization(""),
        basic_authorization("hooks:pass"),
        basic_authorization("hooks:pass:word2"),
        basic_authorization("HOOKS:pass:word"),
        SECRET.into(),
        BASE64.encode(SECRET),
        format!("Bearer {SECRET}"),
        format!("Digest {}", BASE64.encode(SECRET)),
        format!("{},{}", basic_authorization(SECRET), basic_authorization(SECRET)),
    ];
    for authorization in wrong {
        let reply = post(&server, &authorization, "b1", BATCH);
        assert_eq!((reply.status, reply.body.as_str()), (401, "Invalid Signature"), "{authorization}");
    }
    assert_eq!(server.post("sparkpost", &[], BATCH.as_bytes()).status, 401);
    assert!(archived(&server).is_empty());
    assert_eq!(
        post(&server, &basic_authorization(SECRET).replace("Basic", "bAsIc"), "b1", BATCH).status,
        200
    );
}

#[test]
fn a_secret_without_a_colon_is_a_bearer_token() {
    let server = serve("tok-en.1~+/=");
    assert_eq!(post(&server, "Bearer tok-en.1~+/=", "b1", BATCH).status, 200);
    assert_eq!(post(&server, "bearer tok-en.1~+/=", "b1", BATCH).status, 200);
    assert_eq!(post(&server, "Bearer tok-en.1~+/", "b2", BATCH).status, 401);
    assert_eq!(post(&server, "Bearer ", "b2", BATCH).status, 401);
    assert_eq!(archived(&server).len(), 1);
}

#[test]
fn an_empty_test_batch_is_accepted() {
    let server = serve(SECRET);
    let spaces = " ".repeat(100);
    for body in ["[{\"msys\":{}}]", " [ { \"msys\" :\t{ } }\r\n] ", "[]", &format!("[{spaces}]")] {
        let reply = post(&server, &basic_authorization(SECRET), "ping", body);
        assert_eq!((reply.status, reply.body.as_str()), (200, "Nothing to store"), "{body}");
    }
    assert_eq!(post(&server, &basic_authorization("a:guess"), "ping", "[{\"msys\":{}}]").status, 401);
    assert!(archived(&server).is_empty());
    let duplicate_key = "[{\"msys\":{\"a\":{}},\"msys\":{}}]";
    assert_eq!(
        post(&server, &basic_authorization(SECRET), "ping", duplicate_key).body,
        "Batch stored",
        "the batch has an event"
    );
}

#[test]
fn an_invalid_batch_is_400_and_does_not_use_up_its_id() {
    let server = serve(SECRET);
    for body in ["", " ", "{}", "\u{1f}\u{8b}", "batch", "\u{feff}[]"] {
        let reply = post(&server, &basic_authorization(SECRET), "b1", body);
        assert_eq!((reply.status, reply.body.as_str()), (400, "Invalid batch: not a JSON array"), "{body}");
    }
    let authorization = basic_authorization(SECRET);
    let compressed: [(&str, &[u8]); 3] = [
        ("X-MessageSystems-Batch-ID", b"b1"),
        ("Content-Encoding", b"gzip"),
        ("Authorization", authorization.as_bytes()),
    ];
    assert_eq!(server.post("sparkpost", &compressed, b"[]").status, 400);
    assert!(archived(&server).is_empty());
    assert_eq!(post(&server, &basic_authorization(SECRET), "b1", BATCH).body, "Batch stored");
}

#[test]
fn an_unwritable_archive_is_reported_at_startup() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let data = tempfile::tempdir().unwrap();
    let output = hookbridge()
        .args(["serve", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap(), "--archive"])
        .arg(file.path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && error.contains("choose a folder you can write to with --archive"),
        "{error}"
    );
}

#[test]
fn any_batch_id_maps_to_one_file_inside_the_archive() {
    let server = serve(SECRET);
    let long = "a".repeat(300);
    let ids = [
        "8ae7b9c0-9f6d-11e5-aa1f-0024e8f4d9ac",
        "../../../up",
        "a/b",
        "a%2Fb",
        "..",
        "CON",
        "A",
        "a",
        "a b",
        "Grüße",
        &long,
        "",
    ];
    for id in ids {
        // An empty id counts as none; the batch is identified by its content.
        let send = || post(&server, &basic_authorization(SECRET), id, &format!("[\"{id}\"]")).body;
        assert_eq!((send().as_str(), send().as_str()), ("Batch stored", "Batch stored before"), "{id}");
    }
    let files = archived(&server);
    assert_eq!(files.len(), ids.len(), "{files:?}");
    assert!(
        files
            .iter()
            .any(|(name, body)| name == "%2E%2E%2F%2E%2E%2F%2E%2E%2Fup.json" && body == "[\"../../../up\"]")
    );
    let folders = std::fs::read_dir(server.folder.path().join("archive")).unwrap();
    let mut folders: Vec<_> = folders.map(|folder| folder.unwrap().file_name()).collect();
    folders.sort();
    assert_eq!(folders, [".headers", ".partial", "sparkpost"], "no id leads out of the archive");
}

struct Bucket {
    name: String,
    proxy: FaultProxy,
    function: CloudFunction,
}

async fn bucket() -> Bucket {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let bucket = name("archive");
    aws(&["s3", "mb", &format!("s3://{bucket}")]);
    let archive = S3Archive::new(&config(&proxy.url()).await, bucket.clone(), "raw/".into());
    let function = CloudFunction::with_endpoint(&proxy.url(), "sparkpost", &secret(SECRET)).await;
    Bucket { name: bucket, proxy, function: function.with_archive(Archive::S3(archive)) }
}

fn event(id: &str, body: &str) -> Value {
    let authorization = basic_authorization(SECRET);
    let headers = [
        ("content-type", "application/json"),
        ("x-messagesystems-batch-id", id),
        ("authorization", &authorization),
    ];
    url_event(&headers, body)
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_bucket_stores_a_repeated_batch_once() {
    let bucket = bucket().await;
    let first = bucket.function.invoke(&event("b1", BATCH)).await;
    assert_eq!((first.status, &first.log["outcome"]), (200, &"archived".into()));
    assert_eq!((&first.log["Archived"], &first.log["delivery_id"]), (&1.into(), &"b1".into()));
    let repeated = bucket.function.invoke(&event("b1", "[]  ,")).await;
    assert_eq!((repeated.status, &repeated.log["outcome"]), (200, &"repeated".into()));
    let url = format!("s3://{}/raw/sparkpost/b1.json", bucket.name);
    assert_eq!(text(&["s3", "cp", &url, "-"]), BATCH, "the first batch, byte for byte");
    let head = ["s3api", "head-object", "--bucket", &bucket.name, "--key", "raw/sparkpost/b1.json"];
    let head = aws(&head);
    assert_eq!((&head["ContentType"], &head["Metadata"]["id"]), (&"application/json".into(), &"b1".into()));
    head["Metadata"]["received"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(bucket.proxy.calls("PutEvents"), 0);
    assert!(!repeated.log.to_string().contains("pass"), "{}", repeated.log);
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_failing_bucket_is_retried_and_then_500() {
    let bucket = bucket().await;
    let object_count = || {
        let listed = aws(&["s3api", "list-objects-v2", "--bucket", &bucket.name]);
        listed["Contents"].as_array().map_or(0, Vec::len)
    };
    bucket.proxy.next("PutObject", [Fault::InternalError, Fault::Truncated, Fault::Conflict]);
    assert_eq!(bucket.function.invoke(&event("b1", BATCH)).await.status, 200);
    assert_eq!(
        (object_count(), bucket.proxy.calls("PutObject")),
        (1, 4),
        "the batch is stored, not only acknowledged"
    );
    bucket.proxy.next("PutObject", [Fault::ResponseLost]);
    assert_eq!(bucket.function.invoke(&event("b2", BATCH)).await.status, 200);
    assert_eq!(object_count(), 2, "the response was lost, but the batch is stored");
    for fault in [Fault::InternalError, Fault::Slow(Duration::from_secs(60))] {
        bucket.proxy.always("PutObject", fault);
        let failed = bucket.function.invoke(&event("b3", BATCH)).await;
        assert_eq!((failed.status, &failed.headers["retry-after"]), (500, &"30".into()));
        assert_eq!((&failed.log["outcome"], &failed.log["reason"]), (&"failed".into(), &"archive".into()));
        assert!(failed.elapsed < Duration::from_secs(5), "{:?}", failed.elapsed);
    }
    bucket.proxy.always("PutObject", Fault::None);
    assert_eq!(bucket.function.invoke(&event("b3", BATCH)).await.status, 200);
    assert_eq!(object_count(), 3);
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_batch_without_the_secret_makes_no_s3_request() {
    let bucket = bucket().await;
    let mut event = event("b1", BATCH);
    event["headers"]["authorization"] = basic_authorization("a:guess").into();
    assert_eq!(bucket.function.invoke(&event).await.status, 401);
    event["headers"]["authorization"] = "Negotiate x".into();
    assert_eq!(bucket.function.invoke(&event).await.status, 401);
    assert_eq!(bucket.proxy.calls("PutObject"), 0);
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_batch_is_stored_behind_every_front_door() {
    let bucket = bucket().await;
    let authorization = basic_authorization(SECRET);
    for door in FRONT_DOORS {
        let id = format!("{door:?}");
        let headers = [
            ("Content-Type", "application/json"),
            ("X-MessageSystems-Batch-ID", id.as_str()),
            ("Authorization", authorization.as_str()),
        ];
        let body = br#"[{"msys":{"message_event":{"type":"delivery","event_id":"1"}}}]"#;
        let request = Request { method: "POST", path: "/hooks", query: "", headers: &headers, body };
        let (response, _) = bucket.function.invoke_raw(&door.event(&request)).await;
        let (status, _, text) = door.read_response(&response);
        assert_eq!((status, text.as_str()), (200, "Batch stored"), "{door:?}");
    }
    let stored = aws(&["s3api", "list-objects-v2", "--bucket", &bucket.name]);
    assert_eq!(stored["Contents"].as_array().map(Vec::len), Some(FRONT_DOORS.len()));
}
