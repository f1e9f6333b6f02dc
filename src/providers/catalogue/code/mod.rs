//! Code hosting, builds and deployments.

pub mod bitbucket;
pub mod buildkite;
pub mod circleci;
pub mod cursor;
pub mod github;
pub mod gitlab;
pub mod heroku;
pub mod jira;
pub mod linear;
pub mod netlify;
pub mod npm;
pub mod vercel;
