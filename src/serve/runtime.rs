//! Tokio runtime configuration.

use std::num::NonZeroUsize;

use tokio::runtime::{Builder, Runtime};

/// Builds a runtime with one thread for every two cores. A webhook needs little processor time, and idle worker threads that wake
/// each other cost more time than they save. The other cores are left to the local bus's writer thread and the kernel's network
/// stack.
///
/// # Errors
/// The operating system provides no threads.
pub fn build_runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    Builder::new_multi_thread().worker_threads((cores / 2).max(1)).enable_all().build()
}
