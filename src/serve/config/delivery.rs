//! Delivery settings, shared by `serve` and the subscriber commands.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::SettingsError;

const KEY_FILE: &str = "subscriber.key";

#[derive(clap::Args, Clone, Debug, Default)]
pub struct SubscriberFlags {
    /// Allow subscribers at these internal addresses, also without TLS: 127.0.0.1, or 10.1.0.0/16; repeat for several.
    #[arg(long, env = "HOOKBRIDGE_ALLOW_TO", value_name = "RANGE", value_delimiter = ',')]
    pub allow_to: Vec<String>,
    /// File with the key that encrypts subscribers' secrets; `hookbridge serve` creates it [default: subscriber.key, beside the
    /// log's file, or in the data folder if the log is a database].
    #[arg(long, env = "HOOKBRIDGE_SUBSCRIBER_KEY", value_name = "FILE")]
    pub subscriber_key: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct DeliverySettings {
    /// The internal networks to which deliveries may connect.
    pub allowed_networks: Vec<IpNet>,
    /// The file with the key that encrypts subscribers' secrets.
    pub key_file: PathBuf,
}

impl SubscriberFlags {
    /// Validates the flags. `key_folder` is the folder of the default key file, which is used without `subscriber_key`.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn resolve(self, key_folder: &Path) -> Result<DeliverySettings, SettingsError> {
        let networks =
            self.allow_to.iter().filter(|range| !range.is_empty()).map(|range| parse_network(range));
        Ok(DeliverySettings {
            allowed_networks: networks.collect::<Result<_, _>>()?,
            key_file: self.subscriber_key.unwrap_or_else(|| key_folder.join(KEY_FILE)),
        })
    }
}

fn parse_network(text: &str) -> Result<IpNet, SettingsError> {
    let invalid = || {
        SettingsError(format!(
            "allow-to: invalid address or network '{text}', expected for example 10.1.0.0/16"
        ))
    };
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| invalid())
}
