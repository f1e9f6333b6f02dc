//! Measures the time from `exec` to the first response, for which the function has fetched the secret and published the event.
//! The baseline is a function that does only this (`examples/plain_function.rs`). Also measures the memory of the function.

use std::process::Stdio;

use super::runtime_api::FunctionProcess;
use super::{event, median, stub};

const ITERATIONS: usize = 200;

pub async fn compare(aws: &stub::Aws) {
    let program =
        |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/bench"));
    let (bridge_program, plain_program) = (program("BENCH_BRIDGE"), program("BENCH_PLAIN"));
    let environment = aws.environment();
    let event = event();
    let (mut bridge_times, mut plain_times) = (Vec::new(), Vec::new());
    let mut memory_kib = 0;
    for _ in 0..ITERATIONS {
        // Alternate between the two functions, so that other load on the machine affects both.
        let mut function =
            FunctionProcess::start(&plain_program, &environment, event.clone(), Stdio::null()).await;
        plain_times.push(function.first_response().await);
        drop(function);
        let mut function =
            FunctionProcess::start(&bridge_program, &environment, event.clone(), Stdio::null()).await;
        bridge_times.push(function.first_response().await);
        for _ in 0..20 {
            function.invoke(event.clone()).await;
        }
        memory_kib = function.memory_kib();
    }
    let (bridge, plain) = (median(bridge_times), median(plain_times));
    println!(
        "first answered webhook: bridge {bridge:.2} ms, plain function {plain:.2} ms (p50 of {ITERATIONS})"
    );
    println!("  ratio {:.2}, wanted at most 1.00", bridge / plain);
    println!("memory at rest: {:.1} MiB, wanted at most 12", memory_kib as f64 / 1024.0);
}
