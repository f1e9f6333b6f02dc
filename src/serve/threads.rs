//! Tokio runtime configuration.

use std::num::NonZeroUsize;

use tokio::runtime::{Builder, Runtime};

/// Threads for half of the cores: a webhook needs little of one, the file's own thread and the system's network need
/// the rest, and threads that wake each other for nothing cost more than they do.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    Builder::new_multi_thread().worker_threads((cores / 2).max(1)).enable_all().build()
}
