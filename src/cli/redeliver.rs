//! `hookbridge redeliver`: requests failed deliveries of webhooks again at the provider.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgGroup, Args};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use super::progress::Progress;
use super::table::Table;
use crate::poller::BaseUrl;
use crate::poller::redelivery::{Delivery, GithubClient, GithubError, Hook, REQUEST_INTERVAL, RETENTION};
use crate::secrets::Secret;
use crate::util::output;

/// Timeout of one request to GitHub.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the results of the redeliveries are queried.
const RESULT_INTERVAL: Duration = Duration::from_secs(3);
/// How long the command waits for results after its last request.
const RESULT_TIMEOUT: Duration = Duration::from_secs(120);

/// Request failed deliveries of GitHub again
///
/// GitHub does not send a failed webhook again by itself, and keeps its deliveries for three days. This command lists the
/// deliveries of a webhook, requests each failed one without a later success again, and waits for the results.
#[derive(Args)]
#[command(group(ArgGroup::new("owner").required(true).args(["repo", "org", "app"])))]
pub struct Redeliver {
    /// Provider that sends the webhooks
    #[arg(value_parser = ["github"])]
    provider: String,
    /// Repository of the webhook
    #[arg(long, value_name = "OWNER/NAME", requires = "hook")]
    repo: Option<String>,
    /// Organization of the webhook
    #[arg(long, value_name = "NAME", requires = "hook")]
    org: Option<String>,
    /// Id of the GitHub App whose webhook it is; the token is then the app's private key
    #[arg(long, value_name = "ID", conflicts_with = "hook")]
    app: Option<u64>,
    /// Id of the webhook: the number at the end of the URL of its page in GitHub's settings
    #[arg(long, value_name = "ID")]
    hook: Option<u64>,
    /// Age of the oldest delivery, at most 72h
    #[arg(long, value_name = "AGE", default_value = "24h", value_parser = parse_age)]
    since: SignedDuration,
    /// List the failed deliveries only
    #[arg(long)]
    dry_run: bool,
    /// Token with the permission to read and write webhooks, or the private key of the GitHub App
    #[arg(long, env = "GITHUB_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: String,
    /// Scheme and host of the API, if not `https://api.github.com`
    #[arg(long, value_name = "URL")]
    api: Option<BaseUrl>,
    /// Print the result as one line of JSON
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum RedeliverError {
    #[error("--repo, --org: {0}")]
    Hook(#[from] crate::poller::redelivery::HookError),
    #[error(transparent)]
    Github(#[from] GithubError),
    #[error("{0} deliveries did not succeed; read the log of the receiver, and run the command again")]
    NotRecovered(usize),
}

/// A failed webhook without a later success.
struct FailedWebhook {
    /// The newest delivery of the webhook.
    delivery: Delivery,
    /// Whether GitHub accepted the request for another delivery.
    is_requested: bool,
}

impl Redeliver {
    pub async fn run(self) -> Result<(), RedeliverError> {
        let hook = match (&self.repo, &self.org, self.hook.unwrap_or_default()) {
            (Some(repository), _, id) => format!("repos/{repository}/hooks/{id}").parse()?,
            (_, Some(organization), id) => format!("orgs/{organization}/hooks/{id}").parse()?,
            _ => Hook::App { id: self.app.unwrap_or_default() },
        };
        let client = GithubClient::new(&hook, self.api.as_ref(), &Secret::new(self.token.clone()))?;
        let start = Timestamp::now().checked_sub(self.since).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut failed = failed_webhooks(list(&client, start).await?);
        if self.dry_run {
            self.print_failed(&failed);
            return Ok(());
        }
        let total = failed.len();
        let first_request = Timestamp::now();
        let mut progress = Progress::start(Some(total as u64));
        for (index, webhook) in failed.values_mut().enumerate() {
            if index > 0 {
                sleep(REQUEST_INTERVAL).await;
            }
            match with_rate_limit(|deadline| client.redeliver(webhook.delivery.id, deadline)).await {
                Ok(()) => webhook.is_requested = true,
                Err(error @ (GithubError::NotFound { .. } | GithubError::UnexpectedStatus { .. })) => {
                    warn!(guid = webhook.delivery.guid, %error, "cannot request this delivery again");
                }
                Err(error) => return Err(error.into()),
            }
            let text = || format!("requested {} of {total} failed deliveries again", index + 1);
            progress.update(index as u64 + 1, text);
        }
        drop(progress);
        let requested = failed.values().filter(|webhook| webhook.is_requested).count();
        let recovered = wait_for_results(&client, &failed, first_request, requested).await;
        if self.json {
            let result = json!({"found": total, "requested": requested, "recovered": recovered});
            output::print_line(&result.to_string());
        } else {
            output::print_line(&format!(
                "{total} failed deliveries found, {requested} requested again, {recovered} recovered"
            ));
        }
        if recovered < total { Err(RedeliverError::NotRecovered(total - recovered)) } else { Ok(()) }
    }

    fn print_failed(&self, failed: &BTreeMap<String, FailedWebhook>) {
        let mut deliveries: Vec<_> = failed.values().map(|webhook| &webhook.delivery).collect();
        deliveries.sort_by_key(|delivery| delivery.delivered_at);
        if self.json {
            let list: Vec<_> = deliveries
                .iter()
                .map(|delivery| {
                    json!({
                        "guid": delivery.guid, "delivered_at": delivery.delivered_at.to_string(), "event": delivery.event,
                        "action": delivery.action, "status": delivery.status_code,
                    })
                })
                .collect();
            output::print_line(&json!({"found": deliveries.len(), "deliveries": list}).to_string());
            return;
        }
        let mut table = Table::new(["DELIVERED AT", "GUID", "EVENT", "STATUS"]);
        for delivery in &deliveries {
            let Delivery { guid, delivered_at, event, status, status_code, .. } = delivery;
            let action = delivery.action.as_deref().map_or_else(String::new, |action| format!(".{action}"));
            table.add_row([
                format!("{delivered_at:.0}"),
                guid.clone(),
                format!("{event}{action}"),
                format!("{status_code} {status}"),
            ]);
        }
        table.print();
        output::print_line(&format!(
            "{} failed deliveries found, none requested (--dry-run)",
            deliveries.len()
        ));
    }
}

/// The deliveries since `start`, the newest first.
async fn list(client: &GithubClient, start: Timestamp) -> Result<Vec<Delivery>, GithubError> {
    let mut deliveries: Vec<Delivery> = Vec::new();
    let mut progress = Progress::start(None);
    let mut cursor: Option<String> = None;
    loop {
        let page = with_rate_limit(|deadline| client.list(cursor.as_deref(), deadline)).await?;
        let is_last = page.deliveries.last().is_none_or(|delivery| delivery.delivered_at < start);
        deliveries.extend(page.deliveries.into_iter().filter(|delivery| delivery.delivered_at >= start));
        cursor = page.next.filter(|_| !is_last);
        if cursor.is_none() {
            return Ok(deliveries);
        }
        progress.update(deliveries.len() as u64, || format!("listed {} deliveries", deliveries.len()));
    }
}

/// Makes a request, and repeats it when GitHub's rate limit ends.
async fn with_rate_limit<T, F>(request: impl Fn(Instant) -> F) -> Result<T, GithubError>
where
    F: Future<Output = Result<T, GithubError>>,
{
    loop {
        match request(Instant::now() + REQUEST_TIMEOUT).await {
            Err(GithubError::RateLimited { until }) => {
                info!("GitHub's rate limit is exhausted; waiting until {until:.0}");
                let wait = until.duration_since(Timestamp::now());
                sleep(wait.try_into().unwrap_or_default()).await;
            }
            result => return result,
        }
    }
}

/// The webhooks without a successful delivery, by guid, each with its newest delivery.
fn failed_webhooks(deliveries: Vec<Delivery>) -> BTreeMap<String, FailedWebhook> {
    let succeeded: Vec<String> =
        deliveries.iter().filter(|delivery| delivery.has_succeeded()).map(|d| d.guid.clone()).collect();
    let mut failed = BTreeMap::new();
    for delivery in deliveries {
        failed.entry(delivery.guid.clone()).or_insert(FailedWebhook { delivery, is_requested: false });
    }
    for guid in succeeded {
        failed.remove(&guid);
    }
    failed
}

/// Waits until every requested webhook has a newer delivery, and returns how many of these succeeded.
async fn wait_for_results(
    client: &GithubClient,
    failed: &BTreeMap<String, FailedWebhook>,
    first_request: Timestamp,
    requested: usize,
) -> usize {
    let deadline = Instant::now() + RESULT_TIMEOUT;
    // The clocks may differ.
    let start = first_request.checked_sub(SignedDuration::from_mins(1)).unwrap_or(first_request);
    let mut recovered = 0;
    let mut progress = Progress::start(Some(requested as u64));
    while requested > 0 && Instant::now() < deadline {
        match timeout_at(deadline, list(client, start)).await {
            Err(_) => break,
            Ok(Err(error)) => info!("cannot list the results: {error}"),
            Ok(Ok(deliveries)) => {
                let results = results(failed, &deliveries);
                recovered = results.values().filter(|has_succeeded| **has_succeeded).count();
                if results.len() >= requested {
                    break;
                }
                let text = || format!("{} of {requested} redeliveries have a result", results.len());
                progress.update(results.len() as u64, text);
            }
        }
        sleep(RESULT_INTERVAL).await;
    }
    recovered
}

/// Whether the requested webhooks succeeded, by guid. A webhook without a newer delivery has no result.
fn results<'d>(
    failed: &BTreeMap<String, FailedWebhook>,
    deliveries: &'d [Delivery],
) -> BTreeMap<&'d str, bool> {
    let mut results: BTreeMap<&str, bool> = BTreeMap::new();
    for delivery in deliveries {
        let webhook = failed.get(&delivery.guid).filter(|webhook| webhook.is_requested);
        if webhook.is_some_and(|webhook| webhook.delivery.id < delivery.id) {
            *results.entry(&delivery.guid).or_default() |= delivery.has_succeeded();
        }
    }
    results
}

/// Parses an age such as `24h` or `90m`, up to the three days for which GitHub keeps deliveries.
fn parse_age(text: &str) -> Result<SignedDuration, String> {
    let age = text.parse::<SignedDuration>().ok().filter(|age| age.is_positive() && *age <= RETENTION);
    age.ok_or_else(|| "expected an age of at most 72h, for example 90m or 24h".into())
}
