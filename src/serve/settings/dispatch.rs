//! The settings about subscribers, which the commands that look after them share.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::SettingsError;

/// The key's name in the data folder.
const KEY: &str = "subscriber.key";

/// The flags about subscribers.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct SubscriberFlags {
    /// Let subscribers be at these addresses of our own network too, also without TLS: 127.0.0.1, or 10.1.0.0/16; may be given
    /// several times.
    #[arg(long, env = "HOOKBRIDGE_ALLOW_TO", value_name = "RANGE", value_delimiter = ',')]
    pub allow_to: Vec<String>,
    /// The file with the key that subscribers' secrets are encrypted with; `hookbridge serve` makes it [default: subscriber.key,
    /// beside the log's file, or in the data folder where the log is a database].
    #[arg(long, env = "HOOKBRIDGE_SUBSCRIBER_KEY", value_name = "FILE")]
    pub subscriber_key: Option<PathBuf>,
}

/// The settings about subscribers, checked.
#[derive(Clone, Debug)]
pub struct Subscribing {
    /// Ranges that may be dialled though they are our own network's.
    pub allowed: Vec<IpNet>,
    /// The file of the key.
    pub key: PathBuf,
}

impl SubscriberFlags {
    /// Checks them, with what the file says about them. `place` is the folder of the key when none is named.
    ///
    /// # Errors
    /// The first that cannot be.
    pub fn settle(self, file: SubscriberFile, place: &Path) -> Result<Subscribing, SettingsError> {
        let ranges = if self.allow_to.is_empty() { file.allow_to } else { self.allow_to };
        let allowed = ranges.iter().filter(|range| !range.is_empty()).map(|range| net(range));
        Ok(Subscribing {
            allowed: allowed.collect::<Result<_, _>>()?,
            key: self.subscriber_key.or(file.key).unwrap_or_else(|| place.join(KEY)),
        })
    }
}

/// What the file says about subscribers.
#[derive(Default)]
pub struct SubscriberFile {
    /// Ranges.
    pub allow_to: Vec<String>,
    /// The file of the key.
    pub key: Option<PathBuf>,
}

fn net(text: &str) -> Result<IpNet, SettingsError> {
    let wrong =
        || SettingsError(format!("allow-to: '{text}' is neither an address nor a range (10.1.0.0/16)"));
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| wrong())
}
