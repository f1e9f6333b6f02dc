//! Measures what AWS bills for a webhook: the bytes of its log line, and the processor time that it takes. `scripts/cost` computes
//! the cost from these figures.

use std::io::{Read as _, Seek as _};

use super::runtime_api::FunctionProcess;
use super::{DELIVERY_ID, event, stub};

const WEBHOOKS: usize = 5000;

/// Prints the two figures, each after its name.
pub async fn measure(aws: &stub::Aws) {
    let program = std::env::var("BENCH_BRIDGE").expect("BENCH_BRIDGE is not set: run scripts/cost");
    let event = event();
    let mut log_file = tempfile::tempfile().unwrap();
    let log = log_file.try_clone().unwrap().into();
    let mut function = FunctionProcess::start(&program, &aws.environment(), event.clone(), log).await;
    function.first_response().await;
    let before = function.cpu_seconds();
    for number in 0..WEBHOOKS {
        // The function does not publish a webhook again. The signature does not cover the delivery id.
        function.invoke(event.replace(DELIVERY_ID, &format!("{number:036}"))).await;
    }
    let cpu_ms = (function.cpu_seconds() - before) * 1e3 / WEBHOOKS as f64;
    let mut log = String::new();
    drop(function);
    log_file.rewind().unwrap();
    log_file.read_to_string(&mut log).unwrap();
    let published: Vec<&str> = log.lines().filter(|line| line.contains("published")).collect();
    assert_eq!(published.len(), WEBHOOKS + 1);
    let bytes: usize = published.iter().map(|line| line.len()).sum();
    println!("log_bytes {:.0}", bytes as f64 / published.len() as f64);
    println!("cpu_milliseconds {cpu_ms:.3}");
}
