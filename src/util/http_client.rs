//! Shared HTTP client for non-AWS requests.

use std::time::Duration;

/// Builds a client for requests to `host`. The client has a timeout of 30 s, follows no redirects, and uses no proxy if `host`
/// is a loopback host.
///
/// # Errors
/// The system's root certificates cannot be read.
pub fn client_for(host: &str) -> Result<reqwest::Client, reqwest::Error> {
    let builder = client_builder().timeout(Duration::from_secs(30));
    if is_loopback(host) { builder.no_proxy().build() } else { builder.build() }
}

/// Creates a builder with the settings of every client: the user agent, and no redirects.
pub fn client_builder() -> reqwest::ClientBuilder {
    // Ignore the error: it means that this TLS provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("hookbridge/", env!("CARGO_PKG_VERSION")))
}

/// Whether the host of a URL is a loopback name or address.
pub fn is_loopback(host: &str) -> bool {
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(is_loopback)
}
