//! Payments, accounting and shops.

pub mod adyen;
pub mod braintree;
pub mod chargebee;
pub mod coinbase_commerce;
pub mod gocardless;
pub mod lemon_squeezy;
pub mod paddle;
pub mod quickbooks;
pub mod razorpay;
pub mod recurly;
pub mod shopify;
pub mod square;
pub mod stripe;
pub mod woocommerce;
pub mod xero;
