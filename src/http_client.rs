//! Shared HTTP client for non-AWS requests.

use std::time::Duration;

/// A client for a host, that follows no redirects and gives up after 30 s. To this machine it goes straight, also where the
/// environment names a proxy.
///
/// # Errors
/// When the system's root certificates cannot be read.
pub fn to(host: &str) -> Result<reqwest::Client, reqwest::Error> {
    let client = builder().timeout(Duration::from_secs(30));
    if is_here(host) { client.no_proxy().build() } else { client.build() }
}

/// What every client has: it says who we are, and follows no redirects.
pub fn builder() -> reqwest::ClientBuilder {
    // A second call finds the provider installed, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("hookbridge/", env!("CARGO_PKG_VERSION")))
}

/// Whether a host, as it stands in a URL, is this machine.
pub fn is_here(host: &str) -> bool {
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(is_loopback)
}
