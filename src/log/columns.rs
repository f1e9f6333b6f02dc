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
    pub fallback_domain_of: Option<&'static str>,
    /// The parameter of the search.
    pub query_parameter: &'static str,
    /// How the parameter is compared.
    pub match_mode: MatchMode,
    /// Whether case makes a difference.
    pub case_folding: CaseFolding,
    /// Whether it is an email address, of which a name before it is no part.
    pub is_address: bool,
    /// Whether few events have one value of it, so that the tables have a way to find them in weeks of others.
    pub is_selective: bool,
}

/// How a filter's value is compared with a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatchMode {
    /// It is the whole of it.
    Exact,
    /// It is one of its words, or some that follow each other; case makes no difference.
    Words,
}

/// How a column is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseFolding {
    /// As the event has it.
    Preserve,
    /// In small letters: addresses and domains.
    Yes,
}

const fn column(name: &'static str, filter: &'static str, matching: MatchMode) -> Column {
    Column {
        name,
        field: name,
        fallback_domain_of: None,
        query_parameter: filter,
        match_mode: matching,
        case_folding: CaseFolding::Preserve,
        is_selective: false,
        is_address: false,
    }
}

const fn address(name: &'static str, filter: &'static str) -> Column {
    Column { case_folding: CaseFolding::Yes, is_address: true, ..column(name, filter, MatchMode::Exact) }
}

const fn domain(name: &'static str, of: &'static str, filter: &'static str) -> Column {
    Column {
        fallback_domain_of: Some(of),
        case_folding: CaseFolding::Yes,
        ..column(name, filter, MatchMode::Words)
    }
}

/// All of them. A domain stands after the address it may be taken from.
pub const COLUMNS: [Column; 18] = [
    Column { is_selective: true, ..address("rcpt_to", "recipients") },
    domain("recipient_domain", "rcpt_to", "recipient_domains"),
    address("friendly_from", "from_addresses"),
    domain("sending_domain", "friendly_from", "sending_domains"),
    column("subject", "subjects", MatchMode::Words),
    column("bounce_class", "bounce_classes", MatchMode::Exact),
    column("reason", "reasons", MatchMode::Words),
    column("campaign_id", "campaigns", MatchMode::Words),
    column("template_id", "templates", MatchMode::Words),
    column("sending_ip", "sending_ips", MatchMode::Exact),
    column("ip_pool", "ip_pools", MatchMode::Words),
    column("subaccount_id", "subaccounts", MatchMode::Exact),
    Column { is_selective: true, ..column("message_id", "messages", MatchMode::Exact) },
    column("transmission_id", "transmissions", MatchMode::Exact),
    column("mailbox_provider", "mailbox_providers", MatchMode::Words),
    column("mailbox_provider_region", "mailbox_provider_regions", MatchMode::Words),
    column("ab_test_id", "ab_tests", MatchMode::Words),
    column("ab_test_version", "ab_test_versions", MatchMode::Exact),
];
