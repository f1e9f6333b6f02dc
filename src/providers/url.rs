//! The URL a webhook was sent to, as its sender wrote it. Twilio signs it.

use std::str::FromStr;

/// The URL of a request, kept exactly as it came: nothing is decoded, normalised or sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUrl {
    /// `https` or `http`.
    pub scheme: &'static str,
    /// Host, and port where one was written.
    pub authority: String,
    /// Begins with `/`.
    pub path: String,
    /// Without the `?`; `None` when there was no query.
    pub query: Option<String>,
}

impl RequestUrl {
    /// The same with the port left out, and then the same with it written out (the scheme's own where none was
    /// written). Senders that sign the URL do either.
    pub(super) fn with_and_without_port(&self) -> [String; 2] {
        let (host, port) = self.host_and_port();
        let port = port.unwrap_or(if self.scheme == "https" { "443" } else { "80" });
        [self.write(host), self.write(&format!("{host}:{port}"))]
    }

    /// The host without its port; an IPv6 address keeps its brackets.
    #[cfg(feature = "command")]
    pub(crate) fn host(&self) -> &str {
        self.host_and_port().0
    }

    fn host_and_port(&self) -> (&str, Option<&str>) {
        // A colon inside the brackets of an IPv6 address does not begin a port.
        match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (&self.authority, None),
        }
    }

    fn write(&self, authority: &str) -> String {
        let mut url = format!("{}://{authority}{}", self.scheme, self.path);
        if let Some(query) = &self.query {
            url.push('?');
            url.push_str(query);
        }
        url
    }

    /// Every value of `name` in the query, still encoded.
    pub(super) fn query_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.query.iter().flat_map(|q| q.split('&'));
        pairs.filter_map(move |pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// The URL as a sender sees it, as written; for `send`, which signs it.
impl std::fmt::Display for RequestUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.write(&self.authority))
    }
}

/// `PUBLIC_URL`: where the endpoint is seen from outside when a custom domain stands in front of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(RequestUrl);

/// What is wrong with a URL.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// Neither `https://` nor `http://`.
    #[error("it must begin with https:// or http://")]
    InvalidScheme,
    /// No host, or user information before it.
    #[error("it must name a host, and nothing but a port beside it")]
    InvalidHost,
    /// A character that cannot stand in a URL.
    #[error("it holds a character that cannot stand in a URL (a space, a control or a non-ASCII character)")]
    InvalidCharacter,
    /// Something after the path.
    #[error("it must end with its path: a query or a fragment is the request's own")]
    UnexpectedQuery,
}

impl FromStr for RequestUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(UrlError::InvalidCharacter);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
            _ => return Err(UrlError::InvalidScheme),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        if authority.is_empty() || authority.contains('@') {
            return Err(UrlError::InvalidHost);
        }
        let (authority, path) = (authority.to_owned(), path.to_owned());
        Ok(Self { scheme, authority, path, query: query.map(str::to_owned) })
    }
}

impl FromStr for PublicUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.contains(['?', '#']) {
            return Err(UrlError::UnexpectedQuery);
        }
        text.parse().map(Self)
    }
}

impl PublicUrl {
    /// What the sender called `request`: this scheme and host; this path, too, unless the request's own path
    /// begins with it, as it does behind a proxy that takes nothing away.
    pub fn rewrite(&self, request: RequestUrl) -> RequestUrl {
        let RequestUrl { scheme, authority, path: prefix, .. } = self.0.clone();
        let bare = prefix.trim_end_matches('/');
        let has_prefix =
            request.path.strip_prefix(bare).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let path = if has_prefix {
            request.path
        } else if request.path == "/" {
            prefix
        } else {
            format!("{bare}{}", request.path)
        };
        RequestUrl { scheme, authority, path, query: request.query }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn url(text: &str) -> RequestUrl {
        text.parse().unwrap()
    }

    #[test]
    fn a_url_is_written_as_it_was_read() {
        for text in ["https://a.example/", "http://a.example:8080/b%2Fc?x=1&x=2&=", "https://[::1]:4/?"] {
            assert_eq!(url(text).to_string(), text);
        }
        assert_eq!(url("HTTPS://a.example?x#y").to_string(), "https://a.example/?x");
    }

    #[test]
    fn a_url_is_tried_without_and_with_its_port() {
        let both = |text| url(text).with_and_without_port();
        assert_eq!(both("https://a.example/b?c"), ["https://a.example/b?c", "https://a.example:443/b?c"]);
        assert_eq!(both("http://a.example:81/"), ["http://a.example/", "http://a.example:81/"]);
        assert_eq!(both("http://[::1]/"), ["http://[::1]/", "http://[::1]:80/"]);
    }

    #[test]
    fn a_public_url_stands_in_front_of_the_request() {
        let seen = |public: &str, request: &str| {
            public.parse::<PublicUrl>().unwrap().rewrite(url(request)).to_string()
        };
        let inside = "https://id.lambda-url.eu-west-1.on.aws";
        assert_eq!(seen("https://a.example", &format!("{inside}/?x=1")), "https://a.example/?x=1");
        assert_eq!(seen("https://a.example/in", &format!("{inside}/?x=1")), "https://a.example/in?x=1");
        assert_eq!(seen("https://a.example/in/", &format!("{inside}/")), "https://a.example/in/");
        assert_eq!(seen("https://a.example/in", &format!("{inside}/in/voice")), "https://a.example/in/voice");
        assert_eq!(seen("https://a.example/in", &format!("{inside}/voice")), "https://a.example/in/voice");
        assert_eq!(seen("https://a.example/in", &format!("{inside}/inner")), "https://a.example/in/inner");
    }

    #[test]
    fn what_is_no_public_url_is_refused_with_the_reason() {
        let why = |text: &str| text.parse::<PublicUrl>().unwrap_err().to_string();
        assert_eq!(why("a.example"), "it must begin with https:// or http://");
        assert_eq!(why("ftp://a.example"), "it must begin with https:// or http://");
        assert_eq!(why("https:///x"), "it must name a host, and nothing but a port beside it");
        assert_eq!(why("https://me@a.example"), "it must name a host, and nothing but a port beside it");
        assert!(why("https://a.example/ ").starts_with("it holds a character"));
        assert!(why("https://a.example/?x").starts_with("it must end with its path"));
    }
}
