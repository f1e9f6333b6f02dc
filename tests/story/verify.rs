//! `hookbridge verify` names the mistake that makes a signature invalid, and never prints a signature.

use std::io::Write as _;
use std::process::Stdio;

use hookbridge::providers::{self, WebhookRequest};
use hookbridge::secrets::Secret;
use jiff::Timestamp;

use crate::actors::server::{Server, hookbridge};

const KEY: &str = "It's a Secret to Everybody";
const BODY: &str = r#"{"b":"ü/","a":[1.50,{}]}"#;

/// A signed webhook; tests change it before they verify it.
struct Webhook {
    provider: &'static str,
    secret: String,
    request: WebhookRequest,
}

fn signed(provider: &'static str, key: &str, body: &str, url: &str) -> Webhook {
    let mut request = WebhookRequest::post(url.parse().unwrap(), body.to_owned());
    request.add_header("content-type", "application/json");
    let scheme = &providers::find_provider(provider).unwrap().signature_scheme;
    scheme.sign(&mut request, &Secret::new(key), Timestamp::now()).unwrap();
    Webhook { provider, secret: key.to_owned(), request }
}

fn github(body: &str) -> Webhook {
    signed("github", KEY, body, "https://x.example/")
}

impl Webhook {
    fn body(mut self, body: &str) -> Self {
        self.request.body = body.to_owned().into();
        self
    }

    fn secret(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.secret);
        self
    }

    fn url(mut self, url: &str) -> Self {
        self.request.url = url.parse().unwrap();
        self
    }

    fn change_header(mut self, name: &str, change: impl Fn(&str) -> (String, String)) -> Self {
        for (header, value) in &mut self.request.headers {
            if header == name {
                (*header, *value) = change(value);
            }
        }
        self
    }

    /// The output of the command. It never contains the signature or the secret.
    fn verify(&self, flags: &[&str]) -> String {
        let mut command = hookbridge();
        command.args(["verify", self.provider, "--body", "-", "--url", &self.request.url.to_string()]);
        for (name, value) in &self.request.headers {
            command.args(["--header", &format!("{name}: {value}")]);
        }
        command.args(flags).env("HOOKBRIDGE_SEND_SECRET", &self.secret);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&self.request.body).unwrap();
        let output = child.wait_with_output().unwrap();
        let printed =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let is_valid = printed.starts_with("valid") || printed.contains("\"valid\":true");
        assert_eq!(output.status.success(), is_valid, "{printed}");
        assert!(!printed.contains(self.secret.trim()), "{printed}");
        let signature = &self.request.headers.last().unwrap().1;
        assert!(flags.contains(&"--show") || !printed.contains(signature.as_str()), "{printed}");
        printed
    }

    fn mistakes(&self) -> String {
        let printed = self.verify(&[]);
        let mistakes = printed.lines().filter_map(|line| line.strip_prefix("  - "));
        mistakes.collect::<Vec<_>>().join("; ")
    }
}

#[test]
fn a_valid_webhook_is_valid_and_an_unknown_mistake_is_not_guessed() {
    insta::assert_snapshot!(github(BODY).verify(&[]), @"valid: GitHub signed this webhook with the secret");
    let other = github(BODY).secret("another secret");
    insta::assert_snapshot!(other.verify(&[]), @r"
    invalid: signature mismatch
      no known mistake explains it; check that the secret belongs to this endpoint and this environment
      how GitHub signs: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    ");
    let shown = github(BODY).body("{}").verify(&["--show"]);
    assert!(shown.contains("expected now:\nx-hub-signature-256: sha256="), "{shown}");
    let json: serde_json::Value =
        serde_json::from_str(&github(BODY).verify(&["--json"]).replace("valid: ", "")).unwrap_or_default();
    assert_eq!(json["valid"], true);
}

#[test]
fn a_changed_body_is_explained() {
    insta::assert_snapshot!(github(BODY).body(&format!("{BODY}\n")).mistakes(), @"the body got a line break at its end after it was signed");
    insta::assert_snapshot!(github(&format!("{BODY}\n")).body(BODY).mistakes(), @"the body lost the line break at its end after it was signed");
    insta::assert_snapshot!(github("{\n\"a\":1}").body("{\r\n\"a\":1}").mistakes(), @"the line breaks of the body became CRLF after it was signed");
    insta::assert_snapshot!(github("{\r\n\"a\":1}").body("{\n\"a\":1}").mistakes(), @"the line breaks (CRLF) of the body became LF after it was signed");
    insta::assert_snapshot!(github(BODY).body("{ \"b\": \"ü/\", \"a\": [1.50, {}] }").mistakes(), @"the JSON was parsed and written again before it was verified; verify the raw body. It was signed without white space");
    insta::assert_snapshot!(github("{\n  \"b\": \"ü/\",\n  \"a\": [\n    1.50,\n    {}\n  ]\n}").body(BODY).mistakes(), @"the JSON was parsed and written again before it was verified; verify the raw body. It was signed with an indentation of 2 spaces");
    insta::assert_snapshot!(github("{\"b\": \"ü/\", \"a\": [1.50, {}]}").body(BODY).mistakes(), @"the JSON was parsed and written again before it was verified; verify the raw body. It was signed with a space after each colon and comma");
    insta::assert_snapshot!(github(BODY).body(r#"{"b":"\u00fc/","a":[1.50,{}]}"#).mistakes(), @"the JSON was parsed and written again before it was verified; verify the raw body. It was signed with unescaped characters");
    insta::assert_snapshot!(github(r#"{"b":"\u00fc/","a":[1.50,{}]}"#).body(BODY).mistakes(), @r"the JSON was parsed and written again before it was verified; verify the raw body. It was signed without white space, with escaped characters (\u00fc)");
    insta::assert_snapshot!(github(r#"{"b":"ü\/","a":[1.50,{}]}"#).body(BODY).mistakes(), @r"the JSON was parsed and written again before it was verified; verify the raw body. It was signed without white space, with escaped slashes (\/)");
    insta::assert_snapshot!(github(r#"{"a":1,"b":2}"#).body(r#"{"b":2,"a":1}"#).mistakes(), @"the JSON was parsed and written again before it was verified; verify the raw body. It was signed with sorted keys, or with unescaped characters");
    insta::assert_snapshot!(github(BODY).body("eyJiIjoiw7wvIiwiYSI6WzEuNTAse31dfQ==").mistakes(), @"the body is still encoded in base64, as Lambda and API Gateway deliver it; decode it");
    insta::assert_snapshot!(github("payload=%7B%22a%22%3A1%7D").body(r#"{"a":1}"#).mistakes(), @"the provider sent a form and signed it as sent; verify the form, not its decoded field");
}

#[test]
fn a_changed_secret_is_explained() {
    insta::assert_snapshot!(github(BODY).secret(&format!(" {KEY}")).mistakes(), @"the secret has white space at its start or end; remove it");
    insta::assert_snapshot!(github(BODY).secret(&format!("\"{KEY}\"")).mistakes(), @"the secret is in quotes; remove them");
    let standard = |key: &str| signed("standard-webhooks", key, BODY, "https://x.example/");
    let base64 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
    insta::assert_snapshot!(standard(base64).secret("0123456789abcdef01234567").mistakes(), @"the key is the secret as text, not decoded");
    insta::assert_snapshot!(github(BODY).secret("SXQncyBhIFNlY3JldCB0byBFdmVyeWJvZHk=").mistakes(), @"the key is the secret decoded from base64");
    let hex = "497427732061205365637265742074";
    insta::assert_snapshot!(signed("adyen", hex, r#"{"notificationItems":[{"NotificationRequestItem":{"additionalData":{"hmacSignature":""}}}]}"#, "https://x.example/").secret(&hex.to_uppercase()).verify(&[]), @"valid: Adyen signed this webhook with the secret");
    insta::assert_snapshot!(signed("stripe", "whsec_abc", BODY, "https://x.example/").secret("abc").mistakes(), @"the secret lacks the prefix whsec_");
}

#[test]
fn another_url_header_encoding_or_time_is_explained() {
    let square = || signed("square", KEY, BODY, "https://a.example/hook?b=1&a=2");
    insta::assert_snapshot!(square().url("http://a.example:8080/hook/?b=1&a=2").mistakes(), @"the provider signed another URL: https://a.example/hook?b=1&a=2");
    insta::assert_snapshot!(square().url("https://a.example/hook?a=2&b=1").mistakes(), @"the provider signed another URL: https://a.example/hook?b=1&a=2");
    let header = "x-hub-signature-256";
    insta::assert_snapshot!(github(BODY).change_header(header, |value| ("x-hub-signature".into(), value.into())).mistakes(), @"the signature is in the header x-hub-signature, and the provider's is x-hub-signature-256");
    insta::assert_snapshot!(github(BODY).change_header(header, |value| (header.into(), value.replace("sha256=", ""))).mistakes(), @"the signature does not begin with 'sha256='");
    insta::assert_snapshot!(github(BODY).change_header(header, |value| (header.into(), value.to_uppercase().replace("SHA", "sha"))).mistakes(), @"the hex digits of the signature are upper-case letters");
    let sha1 = signed("intercom", KEY, BODY, "https://x.example/");
    let sha1 = Webhook { provider: "bitbucket", ..sha1 };
    insta::assert_snapshot!(sha1.mistakes(), @"the signature does not begin with 'sha256='; the signature is HMAC-SHA1, and the provider's is HMAC-SHA256");
    let slack = || signed("slack", KEY, BODY, "https://x.example/");
    let time = "x-slack-request-timestamp";
    insta::assert_snapshot!(slack().change_header(time, |value| (time.into(), format!("{value}000"))).mistakes(), @"the timestamp is in milliseconds, and the provider signs seconds");
    insta::assert_snapshot!(slack().change_header(time, |value| ("x-other".into(), value.into())).mistakes(), @"the header x-slack-request-timestamp with the timestamp is missing");
    let later = (Timestamp::now() + jiff::SignedDuration::from_secs(3600)).to_string();
    let printed = slack().verify(&["--at", &later]);
    assert!(printed.contains("s old, and at most 300 s are accepted"), "{printed}");
    insta::assert_snapshot!(signed("chargebee", "me:abc", BODY, "https://x.example/").secret("abc").mistakes(), @"the secret must be user:password, not only the password");
    insta::assert_snapshot!(signed("telegram", "abc", BODY, "https://x.example/").change_header("x-telegram-bot-api-secret-token", |value| ("authorization".into(), format!("Bearer {value}"))).mistakes(), @"the request contains the secret as a bearer token; the provider sends it in the header `x-telegram-bot-api-secret-token`");
}

#[test]
fn serve_diagnoses_a_webhook_with_a_development_secret() {
    let server = Server::start_in(tempfile::tempdir().unwrap(), &[]);
    let secrets = std::fs::read_to_string(server.folder.path().join("secrets.json")).unwrap();
    let secrets: serde_json::Value = serde_json::from_str(&secrets).unwrap();
    let webhook = signed("github", secrets["github"].as_str().unwrap(), BODY, "https://x.example/");
    let headers: Vec<(&str, &[u8])> =
        webhook.request.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(server.post("github", &headers, format!("{BODY}\n").as_bytes()).status, 401);
    server.wait_for_line("the body got a line break at its end after it was signed");
}
