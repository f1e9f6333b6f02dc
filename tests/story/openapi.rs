//! The API matches its OpenAPI document: schemathesis sends requests that the document allows, and requests that it does not.

use std::process::Command;

use serde_json::{Value, json};

use crate::actors::server::Server;
use crate::actors::{checkout, run, test_environment};

#[test]
#[ignore = "needs schemathesis: run scripts/test"]
fn the_api_matches_its_openapi_document() {
    let server = Server::start_with(&["--token", "open sesame", "--quiet", "--allow-to", "127.0.0.1"]);
    // A subscriber that no request reaches, so that its deliveries stay pending.
    let subscriber = json!({"name": "crm", "url": "http://127.0.0.1:9/"}).to_string();
    let token: [(&str, &[u8]); 1] = [("authorization", b"Bearer open sesame")];
    assert_eq!(server.request("POST", "/subscribers", &token, subscriber.as_bytes()).status, 201);
    (0..5).for_each(|n| server.push(n));
    let document = server.get("/openapi.json", &[("authorization", b"Bearer open sesame")]).1;
    let paths = document["paths"].as_object().unwrap();
    assert!(
        paths.contains_key("/events") && paths.contains_key("/deliveries") && document["openapi"] == "3.1.0"
    );
    let schemathesis = format!("{}/tools/bin/schemathesis", test_environment("HOOKBRIDGE_TEST_ENV"));
    let output = run(Command::new(schemathesis)
        .current_dir(server.folder.path())
        .arg("--config-file")
        .arg(checkout().join("tests/python/schemathesis.toml"))
        .args(["run", &format!("http://{}/openapi.json", server.address)])
        .args(["--header", "Authorization: Bearer open sesame"]));
    assert!(output.contains(&format!("Tested: {}", count_operations(&document))), "{output}");
}

fn count_operations(document: &Value) -> usize {
    let methods = ["get", "put", "post", "patch", "delete"];
    let of_path = |path: &Value| methods.iter().filter(|method| path.get(method).is_some()).count();
    document["paths"].as_object().unwrap().values().map(of_path).sum()
}
