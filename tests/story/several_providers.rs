//! One function for several providers, and a provider that settings describe.

use hookbridge::providers::{self, WebhookRequest};
use hookbridge::secrets::Secret;
use hookbridge::serve::test_webhook::TestWebhook;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::actors::aws::{Queue, name, secret};
use crate::actors::runtime_api::RunningFunction;
use crate::actors::server::Server;
use crate::actors::wait_until;

const ACME: [(&str, &str); 6] = [
    ("GENERIC_SOURCE", "acme.example"),
    ("GENERIC_SCHEME", "hmac-sha512"),
    ("GENERIC_HEADER", "X-Acme-Signature"),
    ("GENERIC_ENCODING", "base64"),
    ("GENERIC_EVENT_TYPE", "json:/type"),
    ("GENERIC_DELIVERY_ID", "header:X-Acme-Id"),
];

fn acme_signature(secret: &str, body: &[u8]) -> String {
    use base64::Engine as _;
    use hmac::{KeyInit as _, Mac as _};
    let mut mac = hmac::Hmac::<sha2::Sha512>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn each_provider_of_a_function_has_its_path_and_its_secret() {
    let (github_secret, acme_secret) = (secret("of github"), secret("of acme"));
    let event_type = name("several");
    let queue = Queue::for_rule("default", &json!({"detail-type": [event_type]}));
    tokio::task::spawn_blocking(move || {
        let variables = [
            ("PROVIDERS", "github,generic"),
            ("WEBHOOK_SECRET_ARN_GITHUB", github_secret.as_str()),
            ("WEBHOOK_SECRET_ARN_2", acme_secret.as_str()),
        ];
        let function = RunningFunction::start_bridge_with(&[&variables[..], &ACME].concat());
        let post = |path: &str, headers: &[(&str, &str)], body: &str| {
            function.post(path, &[&[("Content-Type", "application/json")], headers].concat(), body).0
        };
        let github = providers::find_provider("github").unwrap();
        let sign = |secret: &str| {
            let request = WebhookRequest::post("https://x.example/".parse().unwrap(), r#"{"zen":"x"}"#);
            github.signature_scheme.signature(request, &Secret::new(secret), Timestamp::now()).unwrap()
        };
        let github_headers = |secret: &str| {
            vec![
                ("X-GitHub-Event".to_owned(), event_type.clone()),
                ("X-Hub-Signature-256".into(), sign(secret)),
            ]
        };
        let post_github = |path: &str, secret: &str| {
            let headers = github_headers(secret);
            let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            post(path, &headers, r#"{"zen":"x"}"#)
        };
        assert_eq!(post_github("/github", "of github"), 202);
        assert_eq!(serde_json::from_str::<Value>(&queue.receive()).unwrap()["source"], "github.com");
        assert_eq!(post_github("/in/github/", "of github"), 202);
        queue.receive();
        assert_eq!(post_github("/github", "of acme"), 401, "each provider has its own secret");
        assert_eq!(post_github("/", "of github"), 404);
        assert_eq!(post_github("/stripe", "of github"), 404);
        let body = format!(r#"{{"type":"{event_type}","n":1}}"#);
        let acme = |signature: &str| {
            post("/generic", &[("X-Acme-Signature", signature), ("X-Acme-Id", "a-1")], &body)
        };
        assert_eq!(acme(&acme_signature("of acme", body.as_bytes())), 202);
        let event: Value = serde_json::from_str(&queue.receive()).unwrap();
        assert_eq!((&event["source"], &event["detail"]["n"]), (&"acme.example".into(), &1.into()));
        assert_eq!(event["resources"], json!(["urn:webhook:generic:a-1"]));
        assert_eq!(acme(&acme_signature("of github", body.as_bytes())), 401);
        let lines =
            wait_until("the log lines", || Some(function.log_lines()).filter(|lines| lines.len() == 7));
        let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["provider"], &lines[6]["provider"]), (&"github".into(), &"generic".into()));
        let unknown = lines.iter().filter(|line| line["reason"] == "unknown-path");
        assert_eq!(unknown.filter(|line| line["status"] == 404).count(), 2);
    })
    .await
    .unwrap();
}

#[test]
fn serve_receives_the_webhooks_of_providers_in_its_configuration_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("hookbridge.toml");
    let text = "[provider.acme]\nsource = \"acme.example\"\nscheme = \"hmac-sha512\"\nheader = \"x-acme-signature\"\n\
                encoding = \"base64\"\nevent_type = \"json:/type\"\n[provider.build-bot]\nsource = \"bot.example\"\n\
                scheme = \"token\"\nheader = \"x-token\"\n[secret]\nacme = \"of acme\"\n";
    std::fs::write(&config, text).unwrap();
    let server = Server::start_with(&["--config", config.to_str().unwrap()]);
    let body = br#"{"type":"order"}"#;
    let signature = acme_signature("of acme", body);
    let json = ("content-type", &b"application/json"[..]);
    let headers = [json, ("x-acme-signature", signature.as_bytes())];
    assert_eq!(server.post("acme", &headers, body).status, 202);
    assert_eq!(server.post("acme", &headers, b"{}").status, 401);
    let secrets = std::fs::read_to_string(server.folder.path().join("secrets.json")).unwrap();
    let secrets: Value = serde_json::from_str(&secrets).unwrap();
    let token = secrets["build-bot"].as_str().unwrap();
    assert_eq!(server.post("build-bot", &[json, ("x-token", token.as_bytes())], body).status, 202);
    assert_eq!(server.post("build-bot", &[json, ("x-token", b"guess")], body).status, 401);
    let events = server.events();
    assert_eq!((&events[0]["source"], &events[0]["detail-type"]), (&"acme.example".into(), &"order".into()));
    assert_eq!(events[1]["detail-type"], "build-bot-webhook-lambda");
}

#[test]
fn an_invalid_provider_in_the_configuration_file_is_named() {
    let error = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let output =
            crate::actors::server::hookbridge().arg("serve").arg("--config").arg(file.path()).output();
        let output = output.unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    insta::assert_snapshot!(error("[provider.acme]\nsource = \"a.example\"\nscheme = \"token\"\n"), @"hookbridge: provider.acme.header: not set; it names the header with the signature, for example x-acme-signature");
    insta::assert_snapshot!(error("[provider.github]\nsource = \"a.example\"\n"), @"hookbridge: provider.github: hookbridge has this provider; choose another name");
    insta::assert_snapshot!(error("[provider.\"A b\"]\nsource = \"a.example\"\n"), @"hookbridge: provider.A b: use lower-case letters, digits and hyphens for the name of a provider");
}

/// A webhook of a provider with a private key, which `send` signs.
#[test]
fn a_discord_ping_is_answered_and_a_forged_one_is_401() {
    let server = Server::start_in(tempfile::tempdir().unwrap(), &[]);
    let secrets = std::fs::read_to_string(server.folder.path().join("secrets.json")).unwrap();
    let secrets: Value = serde_json::from_str(&secrets).unwrap();
    let discord = providers::find_provider("discord").unwrap();
    let url = format!("http://{}/hooks/discord", server.address).parse().unwrap();
    let body = Some(r#"{"version":1,"application_id":"1","type":0}"#.into());
    let webhook = TestWebhook { provider: discord, event: None, body, url, recorded: None };
    let private_key = Secret::new(secrets["discord.private"].as_str().unwrap());
    let signed = webhook.sign(&private_key, Timestamp::now()).unwrap();
    let headers: Vec<(&str, &[u8])> =
        signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let reply = server.post("discord", &headers, &signed.body);
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(server.post("discord", &headers, b"{}").status, 401);
    assert_eq!(server.events().len(), 0, "a handshake is not published");
}
