//! The subcommands of `hookbridge`, one module each: arguments, and what they print.

pub mod delivery;
pub mod export;
pub mod load;
pub mod maintain;
pub mod replay;
pub mod subscriber;
pub mod token;
