//! Shared HTTP client for non-AWS requests.

use std::time::Duration;

/// A client for a host: no redirects, a timeout of 30 s. It uses no proxy for a loopback host.
///
/// # Errors
/// The system's root certificates cannot be read.
pub fn client_for(host: &str) -> Result<reqwest::Client, reqwest::Error> {
    let builder = client_builder().timeout(Duration::from_secs(30));
    if is_loopback(host) { builder.no_proxy().build() } else { builder.build() }
}

/// The settings of every client: user agent, no redirects.
pub fn client_builder() -> reqwest::ClientBuilder {
    // Fails if a provider is already installed; it is the same provider.
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
