//! Monitoring, incidents and event routers.

pub mod alertmanager;
pub mod azure_event_grid;
pub mod cloudevents;
pub mod datadog;
pub mod grafana;
pub mod microsoft_graph;
pub mod pagerduty;
pub mod sentry;
