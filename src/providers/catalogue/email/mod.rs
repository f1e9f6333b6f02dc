//! Email and marketing.

pub mod customer_io;
pub mod hubspot;
pub mod mailgun;
pub mod mandrill;
pub mod postmark;
pub mod segment;
pub mod sendgrid;
pub mod sparkpost;
