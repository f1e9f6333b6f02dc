//! The console: one page of plain HTML, CSS and ES modules, which is only a client of the public HTTP API.
//!
//! `hookbridge serve` serves it at `/`, the function `feed` at `/console`. The files contain no event and no secret, so reading
//! them needs no token; the page asks for one.

/// A file of the console.
pub struct ConsoleFile {
    pub media_type: &'static str,
    pub text: &'static str,
}

/// The headers of every file of the console. The page loads only its own files and sends requests only to its own host.
pub const HEADERS: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-cache"),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const PAGE: ConsoleFile = ConsoleFile { media_type: HTML, text: include_str!("index.html") };

const FILES: [(&str, ConsoleFile); 12] = [
    ("console.css", ConsoleFile { media_type: CSS, text: include_str!("console.css") }),
    ("icon.svg", ConsoleFile { media_type: SVG, text: include_str!("icon.svg") }),
    ("app.js", ConsoleFile { media_type: JAVASCRIPT, text: include_str!("app.js") }),
    ("api.js", ConsoleFile { media_type: JAVASCRIPT, text: include_str!("api.js") }),
    ("dom.js", ConsoleFile { media_type: JAVASCRIPT, text: include_str!("dom.js") }),
    ("live.js", ConsoleFile { media_type: JAVASCRIPT, text: include_str!("live.js") }),
    ("events.js", ConsoleFile { media_type: JAVASCRIPT, text: include_str!("events.js") }),
    ("delivery.js", ConsoleFile { media_type: JAVASCRIPT, text: include_str!("delivery.js") }),
    ("consumers.js", ConsoleFile { media_type: JAVASCRIPT, text: include_str!("consumers.js") }),
    ("health.js", ConsoleFile { media_type: JAVASCRIPT, text: include_str!("health.js") }),
    ("replay.js", ConsoleFile { media_type: JAVASCRIPT, text: include_str!("replay.js") }),
    ("send.js", ConsoleFile { media_type: JAVASCRIPT, text: include_str!("send.js") }),
];

/// The page itself.
pub fn page() -> &'static ConsoleFile {
    &PAGE
}

/// The file with this name; `None` if there is none.
pub fn find(name: &str) -> Option<&'static ConsoleFile> {
    FILES.iter().find(|(file, _)| *file == name).map(|(_, file)| file)
}
