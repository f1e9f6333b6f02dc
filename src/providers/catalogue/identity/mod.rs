//! Identity and sign-in.

pub mod auth0;
pub mod fusionauth;
pub mod okta;
pub mod workos;
