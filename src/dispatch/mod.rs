//! The job **dispatch**: events go out to subscribers, signed, at least once, and every try is on record.

mod api;
mod attempt;
mod dispatcher;
mod environment;
mod function;
mod guard;
#[cfg(feature = "command")]
mod key_file;
mod key_source;
mod keys;
mod lanes;
mod manage;
mod notice;
mod queue;
mod schedule;
mod signature;
mod signer;
mod store;
mod subscriber;
pub mod view;

pub use api::{Api, ApiAnswer, ApiFunction, PATHS};
pub use attempt::Poster;
pub use dispatcher::{Arrived, Clock, DispatchError, Dispatcher, Finished, Job, Outcome, SweepError, Swept};
pub use environment::{ApiEnvironment, Environment};
pub use function::{DispatcherFunction, InvocationError};
pub use guard::{Guard, Refused};
#[cfg(feature = "command")]
pub use key_file::KeyFileError;
pub use key_source::{KeySource, NoKeys};
pub use keys::{KeyError, KeyRing};
pub use manage::{Changes, LONGEST_OVERLAP, ManageError, Manager};
pub use queue::{Retry, RetryQueue};
pub use schedule::RETRIES;
pub use signature::{NotASecret, SIGNATURE_HEADERS, SigningSecret};
pub use signer::Scheme;
pub use store::{DeliveryFilter, DeliveryView, State, Store, TriedView};
pub use subscriber::{Envelope, Settings, SettingsError, Subscriber};
