//! SSRF protection: decides which URLs and addresses deliveries may dial.
//!
//! hookbridge checks a subscriber's URL when the URL is registered, and the address again when it is dialled. The HTTP client
//! resolves host names through this guard and dials only the addresses that the guard has checked. So a change in DNS cannot
//! redirect a request to an internal address (DNS rebinding). A host name is blocked if any of its addresses is blocked. An
//! allow-list (`--allow-to`, `ALLOW_TO`) permits internal ranges of addresses.
//!
//! Source: "IANA IPv4 Special-Purpose Address Registry" and "IANA IPv6 Special-Purpose Address Registry".

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::{IpNet, Ipv6Net};
use reqwest::Url;

/// IPv4 ranges that are dialled only if the operator has allowed them: description, first address, prefix length.
const BLOCKED_V4: [(&str, [u8; 4], u8); 16] = [
    ("this network", [0, 0, 0, 0], 8),
    ("a private network", [10, 0, 0, 0], 8),
    ("shared address space", [100, 64, 0, 0], 10),
    ("a loopback address", [127, 0, 0, 0], 8),
    ("a link-local address", [169, 254, 0, 0], 16),
    ("a private network", [172, 16, 0, 0], 12),
    ("reserved for protocols", [192, 0, 0, 0], 24),
    ("documentation", [192, 0, 2, 0], 24),
    ("6to4 relays", [192, 88, 99, 0], 24),
    ("a private network", [192, 168, 0, 0], 16),
    ("benchmarks", [198, 18, 0, 0], 15),
    ("documentation", [198, 51, 100, 0], 24),
    ("documentation", [203, 0, 113, 0], 24),
    ("multicast", [224, 0, 0, 0], 4),
    ("reserved", [240, 0, 0, 0], 4),
    ("broadcast", [255, 255, 255, 255], 32),
];

/// IPv6 ranges that are dialled only if the operator has allowed them: description, first address, prefix length.
const BLOCKED_V6: [(&str, [u16; 8], u8); 14] = [
    ("the unspecified address", [0; 8], 128),
    ("a loopback address", [0, 0, 0, 0, 0, 0, 0, 1], 128),
    ("an IPv4-compatible address", [0; 8], 96),
    ("a translated address", [0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),
    ("a translated address", [0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    ("discarded", [0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    ("reserved for protocols", [0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ("documentation", [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ("6to4", [0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ("documentation", [0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
    ("a private network", [0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    ("a link-local address", [0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    ("a site-local address", [0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    ("multicast", [0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockedUrlError {
    #[error("invalid URL; write https://HOST/PATH")]
    InvalidUrl,
    #[error("only https:// URLs are allowed, except for networks given with --allow-to")]
    NotHttps,
    /// Credentials in a URL would appear in lists and logs.
    #[error("remove the user name and password from the URL; deliveries are signed instead")]
    UrlCredentials,
    #[error(
        "{address} is blocked: {description} ({range}); allow it with --allow-to {address}, here and where events are delivered"
    )]
    BlockedAddress { address: IpAddr, description: &'static str, range: IpNet },
    #[error("cannot resolve {0}: {1}")]
    Unresolved(String, String),
}

type Lookup = dyn Fn(&str) -> Option<Vec<IpAddr>> + Send + Sync;

#[derive(Clone)]
pub struct SsrfGuard {
    allowed_ranges: Arc<[IpNet]>,
    /// Whether every address outside `allowed_ranges` is blocked, even a public one.
    allowed_only: bool,
    /// Returns the addresses of a host name. Without this function, or if it returns `None`, the guard resolves the name by DNS.
    static_names: Option<Arc<Lookup>>,
    /// For each host name, the first address of its latest resolution. An attempt without a response records this address.
    last_resolved: Arc<Mutex<HashMap<String, IpAddr>>>,
}

impl SsrfGuard {
    /// Creates a guard that permits public addresses and the ranges in `allowed`.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self {
            allowed_ranges: allowed.into(),
            allowed_only: false,
            static_names: None,
            last_resolved: Arc::default(),
        }
    }

    /// Makes the guard resolve a host name by `lookup`, and by DNS only if `lookup` returns `None`.
    #[must_use]
    pub fn with_static_names(
        self,
        lookup: impl Fn(&str) -> Option<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self { static_names: Some(Arc::new(lookup)), ..self }
    }

    /// Makes the guard block every address outside the allowed ranges, public addresses included. The HTTP client for `http://`
    /// URLs uses such a guard.
    #[must_use]
    pub fn allowed_only(self) -> Self {
        Self { allowed_only: true, ..self }
    }

    pub fn check_address(&self, address: IpAddr) -> Result<(), BlockedUrlError> {
        let address = address.to_canonical();
        if self.allowed_only && !self.allows(address) {
            return Err(BlockedUrlError::NotHttps);
        }
        match blocked_range(address) {
            Some((description, range)) if !self.allows(address) => {
                Err(BlockedUrlError::BlockedAddress { address, description, range })
            }
            _ => Ok(()),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed_ranges.iter().any(|net| net.contains(&address))
    }

    /// Parses a URL and makes the checks that need no DNS: the scheme is `https`, or `http` if any range is allowed; the URL
    /// contains no credentials; and if the host is an IP address, the address is permitted.
    pub fn parse_url(&self, text: &str) -> Result<Url, BlockedUrlError> {
        let url = Url::parse(text.trim()).map_err(|_| BlockedUrlError::InvalidUrl)?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(BlockedUrlError::InvalidUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BlockedUrlError::UrlCredentials);
        }
        match address_literal(&url) {
            Some(address) => self.check_addresses(&url, &[address])?,
            None if url.scheme() != "https" && self.allowed_ranges.is_empty() => {
                return Err(BlockedUrlError::NotHttps);
            }
            None => {}
        }
        Ok(url)
    }

    /// Makes the checks of [`SsrfGuard::parse_url`], and checks the addresses to which the URL's host currently resolves.
    pub async fn resolve_and_check(&self, text: &str) -> Result<Url, BlockedUrlError> {
        let url = self.parse_url(text)?;
        self.resolve_url(&url).await?;
        Ok(url)
    }

    async fn resolve_url(&self, url: &Url) -> Result<(), BlockedUrlError> {
        if address_literal(url).is_some() {
            return Ok(());
        }
        let addresses = self.resolve_name(url.host_str().unwrap_or_default()).await?;
        self.check_addresses(url, &addresses)
    }

    /// Checks the addresses of a URL's host. If the URL is not `https://`, only addresses in the allowed ranges pass.
    fn check_addresses(&self, url: &Url, addresses: &[IpAddr]) -> Result<(), BlockedUrlError> {
        addresses.iter().try_for_each(|address| self.check_address(*address))?;
        if url.scheme() != "https" && !addresses.iter().all(|address| self.allows(*address)) {
            return Err(BlockedUrlError::NotHttps);
        }
        Ok(())
    }

    /// Checks a URL whose host is an IP address. A URL with a host name always passes, because its addresses are checked when the
    /// HTTP client resolves the name.
    pub fn check_literal(&self, url: &Url) -> Result<(), BlockedUrlError> {
        address_literal(url).map_or(Ok(()), |address| self.check_addresses(url, &[address]))
    }

    /// Returns the IP address of a URL's host: the host itself if it is an address, or the first address of the host name's
    /// latest resolution.
    pub fn last_address(&self, url: &Url) -> Option<IpAddr> {
        let resolved_address = || {
            let resolved = self.last_resolved.lock().unwrap_or_else(PoisonError::into_inner);
            resolved.get(url.host_str()?).copied()
        };
        address_literal(url).or_else(resolved_address)
    }

    /// Resolves a host name for a client, which dials only the addresses that this method returns.
    pub(crate) async fn resolve_name(&self, name: &str) -> Result<Vec<IpAddr>, BlockedUrlError> {
        let addresses = match self.static_names.as_ref().and_then(|lookup| lookup(name)) {
            Some(addresses) => addresses,
            None => {
                let unresolved =
                    |error: std::io::Error| BlockedUrlError::Unresolved(name.to_owned(), error.to_string());
                let addresses = tokio::net::lookup_host((name, 0)).await.map_err(unresolved)?;
                addresses.map(|address| address.ip()).collect()
            }
        };
        let no_address = || BlockedUrlError::Unresolved(name.to_owned(), "there is none".into());
        let first = addresses.first().ok_or_else(no_address)?;
        self.last_resolved.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), *first);
        addresses.iter().try_for_each(|address| self.check_address(*address))?;
        Ok(addresses)
    }
}

/// Returns the host of a URL if the host is an IP address. The URL parser has already normalised decimal, octal and hexadecimal
/// spellings.
fn address_literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// Returns the blocked range that contains an address, with the range's description.
fn blocked_range(address: IpAddr) -> Option<(&'static str, IpNet)> {
    match address {
        IpAddr::V4(address) => blocked_v4_range(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => blocked_v4_range(address),
            None => {
                let containing_range = |(description, start, length): &(&'static str, [u16; 8], u8)| {
                    let net = IpNet::new(IpAddr::V6(Ipv6Addr::from(*start)), *length).ok()?;
                    net.contains(&IpAddr::V6(address)).then_some((*description, net))
                };
                // IANA assigns only 2000::/3 as global unicast addresses.
                let is_global = containing_range(&("", [0x2000, 0, 0, 0, 0, 0, 0, 0], 3)).is_some();
                let not_global =
                    || (!is_global).then(|| ("not a global address", IpNet::V6(Ipv6Net::default())));
                BLOCKED_V6.iter().find_map(containing_range).or_else(not_global)
            }
        },
    }
}

fn blocked_v4_range(address: Ipv4Addr) -> Option<(&'static str, IpNet)> {
    BLOCKED_V4.iter().find_map(|(description, start, length)| {
        let net = IpNet::new(IpAddr::V4(Ipv4Addr::from(*start)), *length).ok()?;
        net.contains(&IpAddr::V4(address)).then_some((*description, net))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_an_internal_address_is_blocked() {
        let guard = SsrfGuard::new(vec![]);
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0x7f.1",
            "127.0.0.1.",
            "0",
            "10.0.0.1",
            "100.64.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::ffff:10.0.0.1]",
            "[::7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[64:ff9b:1::1]",
            "[100::1]",
            "[2001:db8::1]",
            "[2001::1]",
            "[2002:7f00:1::]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[fe80::1]",
            "[fec0::1]",
            "[::ffff:0:7f00:1]",
            "[5f00::1]",
            "[ff02::1]",
            "[3fff::1]",
            "①②⑦.0.0.1",
            "%31%32%37.0.0.1",
        ] {
            let blocked = guard.parse_url(&format!("https://{host}/x"));
            assert!(matches!(blocked, Err(BlockedUrlError::BlockedAddress { .. })), "{host}: {blocked:?}");
        }
        for host in
            ["8.8.8.8", "1.1.1.1", "[2606:4700:4700::1111]", "172.32.0.1", "100.128.0.1", "[::ffff:8.8.8.8]"]
        {
            assert!(guard.parse_url(&format!("https://{host}/x")).is_ok(), "{host}");
        }
        let message = guard.parse_url("https://2130706433/").unwrap_err().to_string();
        insta::assert_snapshot!(message, @"127.0.0.1 is blocked: a loopback address (127.0.0.0/8); allow it with --allow-to 127.0.0.1, here and where events are delivered");
    }

    #[test]
    fn a_url_must_be_https_without_credentials() {
        let guard = SsrfGuard::new(vec![]);
        let error = |url: &str| guard.parse_url(url).unwrap_err();
        assert_eq!(error("http://8.8.8.8/"), BlockedUrlError::NotHttps);
        assert_eq!(error("http://hooks.example/"), BlockedUrlError::NotHttps);
        assert_eq!(error("https://user:hunter2@hooks.example/"), BlockedUrlError::UrlCredentials);
        for url in [
            "",
            "hooks.example",
            "ftp://hooks.example",
            "file:///etc/passwd",
            "https://",
            "javascript:1",
            "gopher://x",
        ] {
            assert_eq!(error(url), BlockedUrlError::InvalidUrl, "{url}");
        }
        assert!(!error("https://user:hunter2@hooks.example/").to_string().contains("hunter2"));
    }

    #[test]
    fn internal_addresses_and_http_are_permitted_only_in_allowed_networks() {
        let guard = SsrfGuard::new(vec!["127.0.0.0/8".parse().unwrap(), "10.1.0.0/16".parse().unwrap()]);
        for url in ["http://127.0.0.1:8080/", "https://10.1.2.3/", "http://[::ffff:127.0.0.1]/"] {
            assert!(guard.parse_url(url).is_ok(), "{url}");
        }
        for url in ["https://10.2.0.1/", "http://8.8.8.8/", "https://[::1]/"] {
            assert!(guard.parse_url(url).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_is_blocked_if_one_of_its_addresses_is() {
        let lookup = |name: &str| match name {
            "both.example" => Some(vec!["8.8.8.8".parse().unwrap(), "10.0.0.1".parse().unwrap()]),
            "good.example" => Some(vec!["8.8.8.8".parse().unwrap()]),
            "none.example" => Some(vec![]),
            _ => None,
        };
        let guard = SsrfGuard::new(vec![]).with_static_names(lookup);
        let error = guard.resolve_and_check("https://both.example/").await.unwrap_err();
        insta::assert_snapshot!(error, @"10.0.0.1 is blocked: a private network (10.0.0.0/8); allow it with --allow-to 10.0.0.1, here and where events are delivered");
        assert!(guard.resolve_and_check("https://good.example/").await.is_ok());
        assert!(matches!(
            guard.resolve_and_check("https://none.example/").await,
            Err(BlockedUrlError::Unresolved(..))
        ));
        let resolved = guard.resolve_name("both.example").await;
        assert!(resolved.is_err(), "the client gets no address to dial");
        assert!(guard.resolve_and_check("https://localhost/").await.is_err());
        let allowing_guard = SsrfGuard::new(vec!["10.0.0.0/8".parse().unwrap()]).with_static_names(lookup);
        assert!(allowing_guard.resolve_and_check("https://both.example/").await.is_ok());
        assert_eq!(
            allowing_guard.resolve_and_check("http://both.example/").await.unwrap_err(),
            BlockedUrlError::NotHttps,
            "without TLS, only allowed networks are dialled"
        );
    }
}
