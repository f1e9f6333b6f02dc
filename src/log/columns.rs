//! What message events are found by: one table for what is taken out of an event, what it is stored under, and the
//! filter that asks for it.
//!
//! Source: "Events API", <https://developers.sparkpost.com/api/events/>, and the fields of its events.

/// A column of the log that only message events fill, and the filter of the search that asks for it.
#[derive(Debug)]
pub struct Column {
    /// Its name in the tables.
    pub name: &'static str,
    /// The field of the event that it is taken from.
    pub field: &'static str,
    /// Where the event has no such field: the domain of the address in this column.
    pub or_domain_of: Option<&'static str>,
    /// The parameter of the search.
    pub filter: &'static str,
    /// How the parameter is compared.
    pub matching: Matching,
    /// Whether case makes a difference.
    pub lowercase: Lowercase,
    /// Whether it is an email address, of which a name before it is no part.
    pub is_address: bool,
    /// Whether few events have one value of it, so that the tables have a way to find them in weeks of others.
    pub is_needle: bool,
}

/// How a filter's value is compared with a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// It is the whole of it.
    Whole,
    /// It is one of its words, or some that follow each other; case makes no difference.
    Words,
}

/// How a column is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lowercase {
    /// As the event has it.
    No,
    /// In small letters: addresses and domains.
    Yes,
}

const fn column(name: &'static str, filter: &'static str, matching: Matching) -> Column {
    Column {
        name,
        field: name,
        or_domain_of: None,
        filter,
        matching,
        lowercase: Lowercase::No,
        is_needle: false,
        is_address: false,
    }
}

const fn address(name: &'static str, filter: &'static str) -> Column {
    Column { lowercase: Lowercase::Yes, is_address: true, ..column(name, filter, Matching::Whole) }
}

const fn domain(name: &'static str, of: &'static str, filter: &'static str) -> Column {
    Column { or_domain_of: Some(of), lowercase: Lowercase::Yes, ..column(name, filter, Matching::Words) }
}

/// All of them. A domain stands after the address it may be taken from.
pub const COLUMNS: [Column; 18] = [
    Column { is_needle: true, ..address("rcpt_to", "recipients") },
    domain("recipient_domain", "rcpt_to", "recipient_domains"),
    address("friendly_from", "from_addresses"),
    domain("sending_domain", "friendly_from", "sending_domains"),
    column("subject", "subjects", Matching::Words),
    column("bounce_class", "bounce_classes", Matching::Whole),
    column("reason", "reasons", Matching::Words),
    column("campaign_id", "campaigns", Matching::Words),
    column("template_id", "templates", Matching::Words),
    column("sending_ip", "sending_ips", Matching::Whole),
    column("ip_pool", "ip_pools", Matching::Words),
    column("subaccount_id", "subaccounts", Matching::Whole),
    Column { is_needle: true, ..column("message_id", "messages", Matching::Whole) },
    column("transmission_id", "transmissions", Matching::Whole),
    column("mailbox_provider", "mailbox_providers", Matching::Words),
    column("mailbox_provider_region", "mailbox_provider_regions", Matching::Words),
    column("ab_test_id", "ab_tests", Matching::Words),
    column("ab_test_version", "ab_test_versions", Matching::Whole),
];
