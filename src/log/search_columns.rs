//! The search columns: the fields of email message events that the log stores in database columns of their own, and their search
//! parameters.
//!
//! Source: "Events API", <https://developers.sparkpost.com/api/events/>, and the fields of its events.

use std::net::IpAddr;

/// A search column, which only email message events fill, and its search parameter.
#[derive(Debug)]
pub struct Column {
    /// The name of the column.
    pub name: &'static str,
    /// The event field that provides the value.
    pub field: &'static str,
    /// The name of the address column whose domain becomes the value if the event does not have `field`.
    pub fallback_domain_of: Option<&'static str>,
    /// The name of the search parameter.
    pub query_parameter: &'static str,
    /// How a search compares the parameter with the column.
    pub match_mode: MatchMode,
    /// The form of a valid search value.
    pub value_format: ValueFormat,
    /// Whether values are stored in lower case.
    pub case_folding: CaseFolding,
    /// Whether the value is an email address. Of `Name <address>`, only the address is stored.
    pub is_address: bool,
    /// Whether one value matches few events, so that the tables have an index for it.
    pub is_selective: bool,
}

/// How a search value is compared with a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchMode {
    /// The search value equals the column's value.
    Exact,
    /// The search value occurs in the column's value as a whole word or a sequence of whole words; case is ignored.
    Words,
}

/// The form of the values of a column. A search rejects a value of another form, because it can match no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueFormat {
    Text,
    /// Decimal digits.
    WholeNumber,
    /// An IPv4 or IPv6 address.
    IpAddress,
}

impl ValueFormat {
    pub fn accepts(self, value: &str) -> bool {
        match self {
            Self::Text => true,
            Self::WholeNumber => value.bytes().all(|byte| byte.is_ascii_digit()),
            Self::IpAddress => value.parse::<IpAddr>().is_ok(),
        }
    }
}

/// Whether a column is stored in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseFolding {
    /// Stored unchanged.
    Preserve,
    /// Stored in lower case, as addresses and domains are.
    Lowercase,
}

const fn column(name: &'static str, query_parameter: &'static str, match_mode: MatchMode) -> Column {
    Column {
        name,
        field: name,
        fallback_domain_of: None,
        query_parameter,
        match_mode,
        value_format: ValueFormat::Text,
        case_folding: CaseFolding::Preserve,
        is_selective: false,
        is_address: false,
    }
}

const fn address(name: &'static str, query_parameter: &'static str) -> Column {
    Column {
        case_folding: CaseFolding::Lowercase,
        is_address: true,
        ..column(name, query_parameter, MatchMode::Exact)
    }
}

const fn domain(name: &'static str, address_column: &'static str, query_parameter: &'static str) -> Column {
    Column {
        fallback_domain_of: Some(address_column),
        case_folding: CaseFolding::Lowercase,
        ..column(name, query_parameter, MatchMode::Words)
    }
}

/// All search columns. A domain column comes after its address column, because the domain may be derived from the address.
pub const COLUMNS: [Column; 18] = [
    Column { is_selective: true, ..address("rcpt_to", "recipients") },
    domain("recipient_domain", "rcpt_to", "recipient_domains"),
    address("friendly_from", "from_addresses"),
    domain("sending_domain", "friendly_from", "sending_domains"),
    column("subject", "subjects", MatchMode::Words),
    Column {
        value_format: ValueFormat::WholeNumber,
        ..column("bounce_class", "bounce_classes", MatchMode::Exact)
    },
    column("reason", "reasons", MatchMode::Words),
    column("campaign_id", "campaigns", MatchMode::Words),
    column("template_id", "templates", MatchMode::Words),
    Column { value_format: ValueFormat::IpAddress, ..column("sending_ip", "sending_ips", MatchMode::Exact) },
    column("ip_pool", "ip_pools", MatchMode::Words),
    Column {
        value_format: ValueFormat::WholeNumber,
        ..column("subaccount_id", "subaccounts", MatchMode::Exact)
    },
    Column { is_selective: true, ..column("message_id", "messages", MatchMode::Exact) },
    column("transmission_id", "transmissions", MatchMode::Exact),
    column("mailbox_provider", "mailbox_providers", MatchMode::Words),
    column("mailbox_provider_region", "mailbox_provider_regions", MatchMode::Words),
    column("ab_test_id", "ab_tests", MatchMode::Words),
    column("ab_test_version", "ab_test_versions", MatchMode::Exact),
];
