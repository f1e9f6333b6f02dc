//! Documents, files, forms, calendars and media.

pub mod airtable;
pub mod asana;
pub mod box_com;
pub mod cal_com;
pub mod calendly;
pub mod contentful;
pub mod docusign;
pub mod dropbox;
pub mod elevenlabs;
pub mod mux;
pub mod notion;
pub mod sanity;
pub mod trello;
pub mod typeform;
pub mod webflow;
