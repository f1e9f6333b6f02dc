//! Measures the memory of the function, and the time from `exec` to the first response, with the secret fetched and the event
//! published.

use super::runtime_api::Invoked;
use super::{event, median, stub};

const TIMES: usize = 200;

pub async fn compare(aws: &stub::Aws) {
    let program =
        |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/bench"));
    let (bridge, plain) = (program("BENCH_BRIDGE"), program("BENCH_PLAIN"));
    let environment = aws.environment();
    let event = event();
    let (mut of_bridge, mut of_plain) = (Vec::new(), Vec::new());
    let mut memory = 0;
    for _ in 0..TIMES {
        // Alternates, so that other load on the machine affects both.
        let mut function = Invoked::start(&plain, &environment, event.clone()).await;
        of_plain.push(function.first_answer().await);
        drop(function);
        let mut function = Invoked::start(&bridge, &environment, event.clone()).await;
        of_bridge.push(function.first_answer().await);
        for _ in 0..20 {
            function.invoke(event.clone()).await;
        }
        memory = function.memory();
    }
    let (of_bridge, of_plain) = (median(of_bridge), median(of_plain));
    println!(
        "first answered webhook: bridge {of_bridge:.2} ms, plain function {of_plain:.2} ms (p50 of {TIMES})"
    );
    println!("  ratio {:.2}, wanted at most 1.00", of_bridge / of_plain);
    println!("memory at rest: {:.1} MiB, wanted at most 12", memory as f64 / 1024.0);
}
