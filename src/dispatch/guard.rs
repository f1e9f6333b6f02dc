//! SSRF protection: which URLs and addresses may be dialled.
//!
//! A URL is checked when it is registered, and the address again when it is dialled: the client resolves names by this guard
//! and dials what it has checked, which leaves no time to give a name another address in. What a name resolves to is refused
//! when one of its addresses is. An allow-list opens ranges to those who deliver inside.
//!
//! Source: "IANA IPv4 Special-Purpose Address Registry" and "IANA IPv6 Special-Purpose Address Registry".

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::{IpNet, Ipv6Net};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Ranges of IPv4 that are never dialled: what they are, the first address, and the length of the prefix.
const V4: [(&str, [u8; 4], u8); 16] = [
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

/// Ranges of IPv6 that are never dialled.
const V6: [(&str, [u16; 8], u8); 14] = [
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

/// Why a URL or an address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a URL.
    #[error("not a URL; it is written https://HOST/PATH")]
    NotAUrl,
    /// Another scheme than https.
    #[error("only https:// is delivered to, except to addresses that are allowed with --allow-to")]
    Scheme,
    /// Credentials in it, which would stand in lists and logs.
    #[error("a user or a password stands in it; what is sent is signed instead")]
    Credentials,
    /// An address that is not dialled.
    #[error(
        "{address} is not delivered to: {what} ({range}); --allow-to {address} would allow it, here and where events are delivered"
    )]
    Address {
        /// The address.
        address: IpAddr,
        /// What it is.
        what: &'static str,
        /// The range that is refused.
        range: IpNet,
    },
    /// The name has no address.
    #[error("the name {0} has no address: {1}")]
    NoAddress(String, String),
}

/// What a name resolves to.
type Lookup = dyn Fn(&str) -> Option<Vec<IpAddr>> + Send + Sync;

/// Decides what may be dialled.
#[derive(Clone)]
pub struct Guard {
    allowed: Arc<[IpNet]>,
    /// Whether nothing else may be dialled.
    inside_only: bool,
    /// Names that are not looked up.
    known: Option<Arc<Lookup>>,
    /// Last resolved address per name, for the audit record.
    resolved: Arc<Mutex<HashMap<String, IpAddr>>>,
}

impl Guard {
    /// One that also lets these ranges be dialled.
    pub fn new(allowed: Vec<IpNet>) -> Self {
        Self { allowed: allowed.into(), inside_only: false, known: None, resolved: Arc::default() }
    }

    /// The same, with the addresses of some names given.
    #[must_use]
    pub fn with_names(self, known: impl Fn(&str) -> Option<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self { known: Some(Arc::new(known)), ..self }
    }

    /// The same, for what goes without TLS: only what is allowed by name is dialled.
    #[must_use]
    pub fn inside_only(self) -> Self {
        Self { inside_only: true, ..self }
    }

    /// Checks an address.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn address(&self, address: IpAddr) -> Result<(), Refused> {
        let address = address.to_canonical();
        if self.inside_only && !self.allows(address) {
            return Err(Refused::Scheme);
        }
        match forbidden(address) {
            Some((what, range)) if !self.allows(address) => Err(Refused::Address { address, what, range }),
            _ => Ok(()),
        }
    }

    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allowed.iter().any(|net| net.contains(&address))
    }

    /// Checks what can be seen of a URL: all of it, where its host is an address.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn url(&self, text: &str) -> Result<Url, Refused> {
        let url = Url::parse(text.trim()).map_err(|_| Refused::NotAUrl)?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(Refused::NotAUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        match literal(&url) {
            Some(address) => self.dialled(&url, &[address])?,
            None if url.scheme() != "https" && self.allowed.is_empty() => return Err(Refused::Scheme),
            None => {}
        }
        Ok(url)
    }

    /// Checks a URL and what its host resolves to now.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn check(&self, text: &str) -> Result<Url, Refused> {
        let url = self.url(text)?;
        self.resolve_url(&url).await?;
        Ok(url)
    }

    /// Checks what the host of a URL resolves to now.
    async fn resolve_url(&self, url: &Url) -> Result<(), Refused> {
        if literal(url).is_some() {
            return Ok(());
        }
        let addresses = self.addresses(url.host_str().unwrap_or_default()).await?;
        self.dialled(url, &addresses)
    }

    /// Checks addresses that a URL leads to: without TLS only what is allowed by name.
    fn dialled(&self, url: &Url, addresses: &[IpAddr]) -> Result<(), Refused> {
        addresses.iter().try_for_each(|address| self.address(*address))?;
        if url.scheme() != "https" && !addresses.iter().all(|address| self.allows(*address)) {
            return Err(Refused::Scheme);
        }
        Ok(())
    }

    /// Checks a URL just before it is dialled. Names are checked by the client's resolver.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn before(&self, url: &Url) -> Result<(), Refused> {
        literal(url).map_or(Ok(()), |address| self.dialled(url, &[address]))
    }

    /// The address of a URL's host that was checked last.
    pub fn last(&self, url: &Url) -> Option<IpAddr> {
        let of_name = || {
            let resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
            resolved.get(url.host_str()?).copied()
        };
        literal(url).or_else(of_name)
    }

    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Refused> {
        let addresses = match self.known.as_ref().and_then(|known| known(name)) {
            Some(addresses) => addresses,
            None => {
                let failed = |error: std::io::Error| Refused::NoAddress(name.to_owned(), error.to_string());
                let found = tokio::net::lookup_host((name, 0)).await.map_err(failed)?;
                found.map(|address| address.ip()).collect()
            }
        };
        let none = || Refused::NoAddress(name.to_owned(), "there is none".into());
        let first = addresses.first().ok_or_else(none)?;
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), *first);
        addresses.iter().try_for_each(|address| self.address(*address))?;
        Ok(addresses)
    }
}

/// The client dials what this returns, and nothing else.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = guard.addresses(name.as_str()).await?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// The address that stands in a URL instead of a name, in whatever spelling: the URL's own standard reads decimal, octal and
/// hexadecimal forms.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// The range that an address is refused for, and what that is.
fn forbidden(address: IpAddr) -> Option<(&'static str, IpNet)> {
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => v4(address),
            None => {
                let within = |(what, start, length): &(&'static str, [u16; 8], u8)| {
                    let net = IpNet::new(IpAddr::V6(Ipv6Addr::from(*start)), *length).ok()?;
                    net.contains(&IpAddr::V6(address)).then_some((*what, net))
                };
                // Only 2000::/3 is given to anybody.
                let global = within(&("", [0x2000, 0, 0, 0, 0, 0, 0, 0], 3)).is_some();
                let other = || (!global).then(|| ("not a global address", IpNet::V6(Ipv6Net::default())));
                V6.iter().find_map(within).or_else(other)
            }
        },
    }
}

fn v4(address: Ipv4Addr) -> Option<(&'static str, IpNet)> {
    V4.iter().find_map(|(what, start, length)| {
        let net = IpNet::new(IpAddr::V4(Ipv4Addr::from(*start)), *length).ok()?;
        net.contains(&IpAddr::V4(address)).then_some((*what, net))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_of_an_address_of_ours_is_dialled() {
        let guard = Guard::new(vec![]);
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
            let refused = guard.url(&format!("https://{host}/x"));
            assert!(matches!(refused, Err(Refused::Address { .. })), "{host}: {refused:?}");
        }
        for host in
            ["8.8.8.8", "1.1.1.1", "[2606:4700:4700::1111]", "172.32.0.1", "100.128.0.1", "[::ffff:8.8.8.8]"]
        {
            assert!(guard.url(&format!("https://{host}/x")).is_ok(), "{host}");
        }
        let said = guard.url("https://2130706433/").unwrap_err().to_string();
        insta::assert_snapshot!(said, @"127.0.0.1 is not delivered to: a loopback address (127.0.0.0/8); --allow-to 127.0.0.1 would allow it, here and where events are delivered");
    }

    #[test]
    fn a_url_is_of_https_and_holds_no_credentials() {
        let guard = Guard::new(vec![]);
        let why = |url: &str| guard.url(url).unwrap_err();
        assert_eq!(why("http://8.8.8.8/"), Refused::Scheme);
        assert_eq!(why("http://hooks.example/"), Refused::Scheme);
        assert_eq!(why("https://user:hunter2@hooks.example/"), Refused::Credentials);
        for url in [
            "",
            "hooks.example",
            "ftp://hooks.example",
            "file:///etc/passwd",
            "https://",
            "javascript:1",
            "gopher://x",
        ] {
            assert_eq!(why(url), Refused::NotAUrl, "{url}");
        }
        assert!(!why("https://user:hunter2@hooks.example/").to_string().contains("hunter2"));
    }

    #[test]
    fn what_is_allowed_is_dialled_and_nothing_beside_it() {
        let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "10.1.0.0/16".parse().unwrap()]);
        for url in ["http://127.0.0.1:8080/", "https://10.1.2.3/", "http://[::ffff:127.0.0.1]/"] {
            assert!(guard.url(url).is_ok(), "{url}");
        }
        for url in ["https://10.2.0.1/", "http://8.8.8.8/", "https://[::1]/"] {
            assert!(guard.url(url).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_is_refused_when_one_of_its_addresses_is() {
        let names = |name: &str| match name {
            "both.example" => Some(vec!["8.8.8.8".parse().unwrap(), "10.0.0.1".parse().unwrap()]),
            "good.example" => Some(vec!["8.8.8.8".parse().unwrap()]),
            "none.example" => Some(vec![]),
            _ => None,
        };
        let guard = Guard::new(vec![]).with_names(names);
        let both = guard.check("https://both.example/").await.unwrap_err();
        insta::assert_snapshot!(both, @"10.0.0.1 is not delivered to: a private network (10.0.0.0/8); --allow-to 10.0.0.1 would allow it, here and where events are delivered");
        assert!(guard.check("https://good.example/").await.is_ok());
        assert!(matches!(guard.check("https://none.example/").await, Err(Refused::NoAddress(..))));
        let resolved = guard.resolve("both.example".parse().unwrap()).await;
        assert!(resolved.is_err(), "the client is given nothing to dial");
        assert!(guard.check("https://localhost/").await.is_err());
        let inside = Guard::new(vec!["10.0.0.0/8".parse().unwrap()]).with_names(names);
        assert!(inside.check("https://both.example/").await.is_ok());
        assert_eq!(
            inside.check("http://both.example/").await.unwrap_err(),
            Refused::Scheme,
            "without TLS only inside"
        );
    }
}
