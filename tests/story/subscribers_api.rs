//! The HTTP API for subscribers and deliveries in `hookbridge serve`.

use serde_json::{Value, json};

use crate::actors::receiver::Receiver;
use crate::actors::server::Server;
use crate::actors::wait_until;
use crate::deliveries::{LOOPBACK, run_blocking};

#[tokio::test(flavor = "multi_thread")]
async fn the_http_api_offers_the_commands_operations_to_token_holders() {
    let receiver = Receiver::start().await;
    run_blocking(move || {
        let server = Server::start_with(&["--allow-to", LOOPBACK, "--token", "open sesame"]);
        let token: (&str, &[u8]) = ("authorization", b"Bearer open sesame");
        let request = |method: &str, path: &str, body: Value| {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let reply = server.request(method, path, &[token], body.as_bytes());
            (reply.status, serde_json::from_str::<Value>(&reply.body).unwrap_or_default())
        };
        assert_eq!(server.request("GET", "/subscribers", &[], b"").status, 401);
        assert_eq!(
            server.request("DELETE", "/subscribers/a", &[("authorization", b"Bearer guess")], b"").status,
            401
        );
        let subscriber = json!({"name": "a", "url": receiver.url("in"), "types": ["push"]});
        let (status, created) = request("POST", "/subscribers", subscriber.clone());
        assert_eq!((status, &created["settings"]["types"]), (201, &json!(["push"])));
        let secret = created["secret"].as_str().unwrap().to_owned();
        assert_eq!(request("POST", "/subscribers", subscriber).0, 409);
        let (_, listed) = request("GET", "/subscribers", Value::Null);
        assert_eq!(listed["data"].as_array().unwrap().len(), 1);
        let with_text_secret = json!({"name": "b", "url": receiver.url("b"), "signature": "sha1",
            "secret": "sixteen bytes, or more", "types": ["none"]});
        assert_eq!(request("POST", "/subscribers", with_text_secret).0, 201);
        assert_eq!(
            request("PATCH", "/subscribers/b", json!({"signature": "standard"})).0,
            400,
            "its secret is not a standard one"
        );
        assert_eq!(request("DELETE", "/subscribers/b", Value::Null).0, 204);
        assert!(!listed.to_string().contains(&secret), "the secret is returned once");
        receiver.respond_with(500);
        server.push(0);
        server.push(2);
        let waiting = wait_until("no attempt was made", || {
            let (_, listed) = request("GET", "/deliveries?subscriber=a&status=waiting", Value::Null);
            let deliveries = listed["data"].as_array().unwrap().clone();
            (deliveries.len() == 2 && deliveries.iter().all(|delivery| delivery["attempts"] == 1))
                .then_some(deliveries)
        });
        let path = |n: usize, suffix: &str| format!("/deliveries/{}{suffix}", waiting[n]["id"]);
        let (_, page) = request("GET", "/deliveries?limit=1", Value::Null);
        assert_eq!(
            (page["data"][0]["id"].clone(), &page["has_more"]),
            (waiting[0]["id"].clone(), &json!(true))
        );
        let (_, page) = request("GET", &format!("/deliveries?before={}", waiting[0]["id"]), Value::Null);
        assert_eq!(
            (page["data"][0]["id"].clone(), &page["has_more"]),
            (waiting[1]["id"].clone(), &json!(false))
        );
        assert_eq!(request("POST", &path(0, "/cancel"), Value::Null).1["status"], "cancelled");
        assert_eq!(request("POST", &path(0, "/cancel"), Value::Null).0, 409);
        receiver.respond_with(200);
        assert_eq!(request("POST", &path(1, "/retry"), Value::Null).0, 200);
        wait_until("the retried delivery is not delivered", || {
            (request("GET", &path(1, ""), Value::Null).1["status"] == "delivered").then_some(())
        });
        let (status, response) =
            request("POST", "/deliveries/retry", json!({"subscriber": "a", "status": "cancelled"}));
        assert_eq!((status, &response["deliveries"]), (200, &json!(1)));
        wait_until("the other delivery is not delivered", || {
            (request("GET", &path(0, ""), Value::Null).1["status"] == "delivered").then_some(())
        });
        assert_eq!(request("POST", "/subscribers/a/test", Value::Null).1["delivered"], true);
        let (_, rotated) = request("POST", "/subscribers/a/rotate-secret", json!({"overlap_hours": 1}));
        assert!(rotated["secret"] != secret.as_str() && rotated["secrets"] == 2, "{}", rotated["secrets"]);
        let overlap: jiff::Timestamp = rotated["overlap_until"].as_str().unwrap().parse().unwrap();
        let overlap_seconds = overlap.duration_since(jiff::Timestamp::now()).as_secs();
        assert!((3500..=3600).contains(&overlap_seconds), "{overlap_seconds}");
        assert_eq!(
            request("PATCH", "/subscribers/a", json!({"limit": 2, "types": []})).1["settings"]["limit"],
            2
        );
        assert_eq!(request("POST", "/subscribers/a/pause", Value::Null).1["state"], "paused");
        assert_eq!(request("POST", "/subscribers/a/resume", Value::Null).1["state"], "active");
        for (method, path, body, status, message) in [
            ("POST", "/subscribers", json!({"name": "b"}), 400, "url: required"),
            (
                "POST",
                "/subscribers",
                json!({"name": "b", "url": "https://10.0.0.1/"}),
                400,
                "url: 10.0.0.1 is blocked: a private network (10.0.0.0/8)",
            ),
            (
                "POST",
                "/subscribers",
                json!({"name": "b", "url": "https://8.8.8.8/", "colour": "red"}),
                400,
                "unknown field `colour`",
            ),
            ("POST", "/subscribers", json!({"url": "https://8.8.8.8/"}), 400, "missing field `name`"),
            ("PATCH", "/subscribers/a", json!({"limit": "hunter2"}), 400, "limit: expected a whole number"),
            (
                "PATCH",
                "/subscribers/a",
                json!({"signature": "md5"}),
                400,
                "signature: expected one of `standard`",
            ),
            ("PATCH", "/subscribers/a", json!(["https://8.8.8.8/"]), 400, "the body is not a JSON object"),
            ("POST", "/subscribers", json!({"name": "b", "secret": 7777}), 400, "secret: expected a string"),
            ("POST", "/subscribers/a/rotate-secret", json!([0]), 400, "the body is not a JSON object"),
            ("GET", "/deliveries?since=yesterday", Value::Null, 400, "since: expected 2026-11-22 or"),
            ("GET", "/deliveries?status=late", Value::Null, 400, "status: expected one of `waiting`"),
            ("GET", "/deliveries?limit=-1", Value::Null, 400, "limit: expected a whole number"),
            ("GET", "/deliveries?subscriber=nobody", Value::Null, 404, "no subscriber nobody"),
            ("POST", "/deliveries/retry", json!({"subscriber": "nobody"}), 404, "no subscriber nobody"),
            ("POST", "/deliveries/7777/retry", Value::Null, 404, "no delivery 7777"),
            ("PATCH", "/subscribers/a", json!("x".repeat(70_000)), 413, "The body is larger than 64 KB."),
            ("PATCH", "/subscribers/b", json!({}), 404, "no subscriber b"),
            (
                "POST",
                "/subscribers/a/rotate-secret",
                json!({"overlap_hours": 1000}),
                400,
                "overlap_hours is out of range, expected 0 to 168",
            ),
            ("POST", "/subscribers/a/resume", Value::Null, 409, "subscriber a is not paused"),
            ("PUT", "/subscribers/a", Value::Null, 405, "Use GET, PATCH, DELETE."),
            ("GET", "/subscribers/a/b", Value::Null, 404, "Not found. Paths of a subscriber"),
            ("GET", "/deliveries/7777", Value::Null, 404, "no delivery 7777"),
            ("GET", "/deliveries?limit=0", Value::Null, 400, "limit is out of range, expected 1 to 1000"),
            ("GET", "/deliveries?limit=x", Value::Null, 400, "limit is not a number"),
            ("GET", "/deliveries?state=waiting", Value::Null, 400, "unknown field `state`"),
            ("POST", "/deliveries/retry", json!({}), 400, "select deliveries with"),
        ] {
            let (actual_status, response) = request(method, path, body);
            let error = response["errors"][0]["message"].as_str().unwrap_or_default();
            assert!(
                actual_status == status && error.starts_with(message),
                "{method} {path}: {actual_status} {error}"
            );
        }
        assert_eq!(request("GET", "/deliveries?since=2026-11-22&limit=1", Value::Null).0, 200);
        assert_eq!(request("GET", "/subscribers/", Value::Null).0, 200);
        let reply = server.request("PUT", "/subscribers/a", &[token], b"");
        assert_eq!(reply.header("allow").as_deref(), Some("GET, PATCH, DELETE"));
        assert_eq!(request("DELETE", "/subscribers/a", Value::Null).0, 204);
        assert_eq!(request("GET", "/subscribers/a", Value::Null).0, 404);
    })
    .await;
}
