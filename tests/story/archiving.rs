//! What becomes of a batch: it is kept as it came, once, and answered at once.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hookbridge::archive::{Archive, S3Archive};
use serde_json::Value;

use crate::actors::aws::{aws, endpoint, name, secret, text};
use crate::actors::cloud_function::{CloudFunction, config, url_event};
use crate::actors::fault_proxy::{Fault, FaultProxy};
use crate::actors::server::{Server, hookbridge};
use crate::actors::wire::Reply;

const SECRET: &str = "hooks:pass:word";
const BATCH: &str =
    "[{\"msys\": {\"track_event\": {\"type\": \"click\", \"n\": 1.50, \"who\": \"Grüße\\u0000\"}}}]";

fn basic(secret: &str) -> String {
    format!("Basic {}", BASE64.encode(secret))
}

/// A server whose SparkPost sends `secret`.
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

/// What is in the archive of a server: names and contents.
fn kept(server: &Server) -> Vec<(String, String)> {
    let folder: PathBuf = server.folder.path().join("archive/sparkpost");
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut kept: Vec<_> = files
        .map(|file| file.unwrap())
        .map(|file| (file.file_name().into_string().unwrap(), std::fs::read_to_string(file.path()).unwrap()))
        .collect();
    kept.sort();
    kept
}

#[test]
fn a_batch_is_kept_byte_for_byte_and_a_repeat_changes_nothing() {
    let server = serve(SECRET);
    let reply = post(&server, &basic(SECRET), "b1", BATCH);
    assert_eq!((reply.status, reply.body.as_str()), (200, "Batch stored"));
    assert_eq!(kept(&server), [("b1.json".to_owned(), BATCH.to_owned())]);
    let reply = post(&server, &basic(SECRET), "b1", "[1]");
    assert_eq!((reply.status, reply.body.as_str()), (200, "Batch stored before"));
    assert_eq!(kept(&server), [("b1.json".to_owned(), BATCH.to_owned())]);
    assert_eq!(post(&server, &basic(SECRET), "b2", " [ what is in it is not looked at").status, 200);
    assert_eq!(kept(&server).len(), 2);
    assert!(server.events().is_empty(), "nothing of it is on the bus");
}

#[test]
fn a_batch_with_events_of_every_type_comes_through_as_it_is() {
    let batch = include_str!("../vectors/sparkpost-batch.json");
    let server = serve(SECRET);
    assert_eq!(post(&server, &basic(SECRET), "b1", batch).status, 200);
    assert_eq!(kept(&server), [("b1.json".to_owned(), batch.to_owned())]);
}

#[test]
fn what_does_not_carry_the_secret_is_401_and_nothing_is_kept() {
    let server = serve(SECRET);
    let wrong = [
        String::new(),
        "Basic".into(),
        "Basic ".into(),
        "Basic %%%".into(),
        basic(""),
        basic("hooks:pass"),
        basic("hooks:pass:word2"),
        basic("HOOKS:pass:word"),
        SECRET.into(),
        BASE64.encode(SECRET),
        format!("Bearer {SECRET}"),
        format!("Digest {}", BASE64.encode(SECRET)),
        format!("{},{}", basic(SECRET), basic(SECRET)),
    ];
    for authorization in wrong {
        let reply = post(&server, &authorization, "b1", BATCH);
        assert_eq!((reply.status, reply.body.as_str()), (401, "Invalid Signature"), "{authorization}");
    }
    assert_eq!(server.post("sparkpost", &[], BATCH.as_bytes()).status, 401);
    assert!(kept(&server).is_empty());
    assert_eq!(post(&server, &basic(SECRET).replace("Basic", "bAsIc"), "b1", BATCH).status, 200);
}

#[test]
fn a_secret_without_a_colon_is_a_bearer_token() {
    let server = serve("tok-en.1~+/=");
    assert_eq!(post(&server, "Bearer tok-en.1~+/=", "b1", BATCH).status, 200);
    assert_eq!(post(&server, "bearer tok-en.1~+/=", "b1", BATCH).status, 200);
    assert_eq!(post(&server, "Bearer tok-en.1~+/", "b2", BATCH).status, 401);
    assert_eq!(post(&server, "Bearer ", "b2", BATCH).status, 401);
    assert_eq!(kept(&server).len(), 1);
}

#[test]
fn an_endpoint_is_tried_with_a_batch_without_events() {
    let server = serve(SECRET);
    let spaces = " ".repeat(100);
    for body in ["[{\"msys\":{}}]", " [ { \"msys\" :\t{ } }\r\n] ", "[]", &format!("[{spaces}]")] {
        let reply = post(&server, &basic(SECRET), "ping", body);
        assert_eq!((reply.status, reply.body.as_str()), (200, "Nothing to store"), "{body}");
    }
    assert_eq!(post(&server, &basic("a:guess"), "ping", "[{\"msys\":{}}]").status, 401);
    assert!(kept(&server).is_empty());
    let twice = "[{\"msys\":{\"a\":{}},\"msys\":{}}]";
    assert_eq!(post(&server, &basic(SECRET), "ping", twice).body, "Batch stored", "there is something in it");
}

#[test]
fn what_cannot_be_a_batch_is_400_and_does_not_take_its_id() {
    let server = serve(SECRET);
    for body in ["", " ", "{}", "\u{1f}\u{8b}", "batch", "\u{feff}[]"] {
        let reply = post(&server, &basic(SECRET), "b1", body);
        assert_eq!((reply.status, reply.body.as_str()), (400, "Invalid batch: not a JSON array"), "{body}");
    }
    let authorization = basic(SECRET);
    let compressed: [(&str, &[u8]); 3] = [
        ("X-MessageSystems-Batch-ID", b"b1"),
        ("Content-Encoding", b"gzip"),
        ("Authorization", authorization.as_bytes()),
    ];
    assert_eq!(server.post("sparkpost", &compressed, b"[]").status, 400);
    assert!(kept(&server).is_empty());
    assert_eq!(post(&server, &basic(SECRET), "b1", BATCH).body, "Batch stored");
}

#[test]
fn an_archive_that_cannot_be_written_to_is_said_at_the_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let data = tempfile::tempdir().unwrap();
    let output = hookbridge()
        .args(["serve", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap(), "--archive"])
        .arg(file.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("choose a folder you can write to with --archive"),
        "{said}"
    );
}

#[test]
fn an_id_of_any_shape_is_one_file_in_the_archive_s_folder() {
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
        // An id that is empty is none: such a batch is known by what is in it.
        let send = || post(&server, &basic(SECRET), id, &format!("[\"{id}\"]")).body;
        assert_eq!((send().as_str(), send().as_str()), ("Batch stored", "Batch stored before"), "{id}");
    }
    let files = kept(&server);
    assert_eq!(files.len(), ids.len(), "{files:?}");
    assert!(
        files
            .iter()
            .any(|(name, body)| name == "%2E%2E%2F%2E%2E%2F%2E%2E%2Fup.json" && body == "[\"../../../up\"]")
    );
    let folders = std::fs::read_dir(server.folder.path().join("archive")).unwrap();
    let mut folders: Vec<_> = folders.map(|folder| folder.unwrap().file_name()).collect();
    folders.sort();
    assert_eq!(folders, [".headers", ".partial", "sparkpost"], "nothing leads out of them");
}

struct Bucket {
    name: String,
    proxy: FaultProxy,
    function: CloudFunction,
}

async fn bucket() -> Bucket {
    let proxy = FaultProxy::before(&endpoint()).await;
    let bucket = name("archive");
    aws(&["s3", "mb", &format!("s3://{bucket}")]);
    let archive = S3Archive::new(&config(&proxy.url()).await, bucket.clone(), "raw/".into());
    let function = CloudFunction::at(&proxy.url(), "sparkpost", &secret(SECRET)).await;
    Bucket { name: bucket, proxy, function: function.keeping_in(Archive::S3(archive)) }
}

fn event(id: &str, body: &str) -> Value {
    let authorization = basic(SECRET);
    let headers = [
        ("content-type", "application/json"),
        ("x-messagesystems-batch-id", id),
        ("authorization", &authorization),
    ];
    url_event(&headers, body)
}

#[tokio::test]
async fn a_bucket_keeps_a_batch_once_however_often_and_whenever_it_comes() {
    let bucket = bucket().await;
    let taken = bucket.function.invoke(&event("b1", BATCH)).await;
    assert_eq!((taken.status, &taken.log["outcome"]), (200, &"archived".into()));
    assert_eq!((&taken.log["Archived"], &taken.log["delivery_id"]), (&1.into(), &"b1".into()));
    let again = bucket.function.invoke(&event("b1", "[]  ,")).await;
    assert_eq!((again.status, &again.log["outcome"]), (200, &"repeated".into()));
    let kept = format!("s3://{}/raw/sparkpost/b1.json", bucket.name);
    assert_eq!(text(&["s3", "cp", &kept, "-"]), BATCH, "byte for byte, and the first");
    let head = ["s3api", "head-object", "--bucket", &bucket.name, "--key", "raw/sparkpost/b1.json"];
    let head = aws(&head);
    assert_eq!((&head["ContentType"], &head["Metadata"]["id"]), (&"application/json".into(), &"b1".into()));
    head["Metadata"]["received"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert_eq!(bucket.proxy.calls("PutEvents"), 0);
    assert!(!again.log.to_string().contains("pass"), "{}", again.log);
}

#[tokio::test]
async fn a_bucket_that_fails_is_tried_again_and_then_the_sender_is_asked_to() {
    let bucket = bucket().await;
    let keys = || {
        let listed = aws(&["s3api", "list-objects-v2", "--bucket", &bucket.name]);
        listed["Contents"].as_array().map_or(0, Vec::len)
    };
    bucket.proxy.next("PutObject", [Fault::Broken, Fault::Cut, Fault::Conflict]);
    assert_eq!(bucket.function.invoke(&event("b1", BATCH)).await.status, 200);
    assert_eq!((keys(), bucket.proxy.calls("PutObject")), (1, 4), "it is there, and not only said to be");
    bucket.proxy.next("PutObject", [Fault::Lost]);
    assert_eq!(bucket.function.invoke(&event("b2", BATCH)).await.status, 200);
    assert_eq!(keys(), 2, "its answer was lost, and it is there");
    for fault in [Fault::Broken, Fault::Slow(Duration::from_secs(60))] {
        bucket.proxy.always("PutObject", fault);
        let failed = bucket.function.invoke(&event("b3", BATCH)).await;
        assert_eq!((failed.status, &failed.headers["retry-after"]), (500, &"30".into()));
        assert_eq!((&failed.log["outcome"], &failed.log["reason"]), (&"failed".into(), &"archive".into()));
        assert!(failed.elapsed < Duration::from_secs(5), "{:?}", failed.elapsed);
    }
    bucket.proxy.always("PutObject", Fault::None);
    assert_eq!(bucket.function.invoke(&event("b3", BATCH)).await.status, 200);
    assert_eq!(keys(), 3);
}

#[tokio::test]
async fn what_does_not_carry_the_secret_makes_no_call_to_the_bucket() {
    let bucket = bucket().await;
    let mut event = event("b1", BATCH);
    event["headers"]["authorization"] = basic("a:guess").into();
    assert_eq!(bucket.function.invoke(&event).await.status, 401);
    event["headers"]["authorization"] = "Negotiate x".into();
    assert_eq!(bucket.function.invoke(&event).await.status, 401);
    assert_eq!(bucket.proxy.calls("PutObject"), 0);
}
