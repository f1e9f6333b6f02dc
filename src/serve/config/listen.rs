//! The listen address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);

/// An address and a port, for example `127.0.0.1:8787`, `[::1]:8787` or `localhost:8787`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ListenAddress(pub SocketAddr);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid address '{0}', expected for example 127.0.0.1:8787, localhost:8787 or, for every network, 0.0.0.0:8787"
)]
pub struct ListenAddressError(String);

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        let parse_localhost = || {
            let (name, port) = text.rsplit_once(':')?;
            let port = port.parse().ok()?;
            // No other name is accepted, because it could resolve to a public address.
            name.eq_ignore_ascii_case("localhost").then_some((Ipv4Addr::LOCALHOST, port).into())
        };
        let address = text.parse().ok().or_else(parse_localhost);
        address.map(Self).ok_or_else(|| ListenAddressError(text.to_owned()))
    }
}

impl TryFrom<String> for ListenAddress {
    type Error = ListenAddressError;

    fn try_from(text: String) -> Result<Self, ListenAddressError> {
        text.parse()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn common_forms_of_a_listen_address_are_accepted() {
        let parse = |text: &str| text.parse::<ListenAddress>().map(|listen| listen.0.to_string());
        for text in ["127.0.0.1:8787", "0.0.0.0:1", "[::1]:8787"] {
            assert_eq!(parse(text).as_deref(), Ok(text));
        }
        assert_eq!(parse("LocalHost:0").as_deref(), Ok("127.0.0.1:0"));
        for text in ["", "8787", ":8787", "localhost", "localhost:", "localhost:99999", "example.com:80"] {
            assert_eq!(parse(text), Err(ListenAddressError(text.to_owned())));
        }
    }
}
