//! Where a server listens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::Deserialize;

/// Where a server listens when nothing else is said.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8787);

/// An address and a port, for example `127.0.0.1:8787`, `[::1]:8787` or `localhost:8787`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Listen(pub SocketAddr);

/// A text that is no address to listen on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no address and port, as in 127.0.0.1:8787, localhost:8787 or, for every network, 0.0.0.0:8787"
)]
pub struct NotAnAddress(String);

impl FromStr for Listen {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let of_this_machine = || {
            let (name, port) = text.rsplit_once(':')?;
            let port = port.parse().ok()?;
            // The one name that is no other machine's: a name that is looked up could be any address, public ones too.
            name.eq_ignore_ascii_case("localhost").then_some((Ipv4Addr::LOCALHOST, port).into())
        };
        let address = text.parse().ok().or_else(of_this_machine);
        address.map(Self).ok_or_else(|| NotAnAddress(text.to_owned()))
    }
}

impl TryFrom<String> for Listen {
    type Error = NotAnAddress;

    fn try_from(text: String) -> Result<Self, NotAnAddress> {
        text.parse()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_the_forms_that_people_write() {
        let read = |text: &str| text.parse::<Listen>().map(|listen| listen.0.to_string());
        for text in ["127.0.0.1:8787", "0.0.0.0:1", "[::1]:8787"] {
            assert_eq!(read(text).as_deref(), Ok(text));
        }
        assert_eq!(read("LocalHost:0").as_deref(), Ok("127.0.0.1:0"));
        for text in ["", "8787", ":8787", "localhost", "localhost:", "localhost:99999", "example.com:80"] {
            assert_eq!(read(text), Err(NotAnAddress(text.to_owned())));
        }
    }
}
