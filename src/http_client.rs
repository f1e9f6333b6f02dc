//! The HTTP client of the command.

use std::time::Duration;

/// A client for a host, that follows no redirects and gives up after 30 s. To this machine it goes straight, also where the
/// environment names a proxy.
///
/// # Errors
/// When the system's root certificates cannot be read.
pub fn to(host: &str) -> Result<reqwest::Client, reqwest::Error> {
    // A second call finds the provider installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let here = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    let client = reqwest::Client::builder();
    let client = if here { client.no_proxy() } else { client };
    client
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30))
        .user_agent(concat!("hookbridge/", env!("CARGO_PKG_VERSION")))
        .build()
}
