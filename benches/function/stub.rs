//! A stub of Secrets Manager, EventBridge and S3 over TLS, with its own certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub const SECRET: &str = "a secret for measuring";

/// A running stub: its URL, and the path of a bundle of root certificates that includes the stub's certificate.
pub struct Aws {
    pub url: String,
    pub bundle: PathBuf,
}

impl Aws {
    pub async fn start(folder: &Path) -> Self {
        let certificate =
            rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]).unwrap();
        // Include the system's root certificates in the bundle, because reading them is part of a cold start.
        let system = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];
        let system = system.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        let bundle = folder.join("roots.pem");
        std::fs::write(&bundle, system + &certificate.cert.pem()).unwrap();

        let key =
            rustls::pki_types::PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let router = Router::new().fallback(handle_request);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = TowerToHyperService::new(router);
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url: format!("https://localhost:{port}"), bundle }
    }

    /// The environment of a function that uses the stub.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.url.clone()),
            ("SSL_CERT_FILE", self.bundle.display().to_string()),
            ("AWS_ACCESS_KEY_ID", "stub".into()),
            ("AWS_SECRET_ACCESS_KEY", "stub".into()),
            ("AWS_REGION", "us-east-1".into()),
            ("PROVIDER", "github".into()),
            ("WEBHOOK_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:000000000000:secret:stub".into()),
        ]
    }
}

async fn handle_request(
    headers: HeaderMap,
    _body: axum::body::Bytes,
) -> ([(&'static str, &'static str); 1], String) {
    let target = headers.get("x-amz-target").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let text = if target.ends_with("GetSecretValue") {
        let created = jiff::Timestamp::now().as_second();
        serde_json::json!({"ARN": "stub", "VersionId": "1", "SecretString": SECRET, "CreatedDate": created})
    } else {
        serde_json::json!({"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]})
    };
    ([("content-type", "application/x-amz-json-1.1")], text.to_string())
}
