//! Request URLs exactly as the sender wrote them, because Twilio's signature covers the URL.

use std::str::FromStr;

/// The URL of a request, exactly as received: not decoded, normalised or sorted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestUrl {
    /// `https` or `http`.
    pub scheme: &'static str,
    /// The host, and the port if the URL states one.
    pub authority: String,
    /// The path, which begins with `/`. It is empty only in a variant that Twilio may sign: the URL without the path's slash.
    pub path: String,
    /// The query without its `?`; `None` if the URL has none.
    pub query: Option<String>,
}

impl RequestUrl {
    /// The URL without a port, and the URL with its port (the scheme's default port if the URL states none). Twilio may sign
    /// either. `userinfo` is empty, or `user:password@`.
    pub(super) fn with_and_without_port(&self, userinfo: &str) -> [String; 2] {
        let (host, port) = self.host_and_port();
        let port = port.unwrap_or(if self.scheme == "https" { "443" } else { "80" });
        [
            self.with_authority(&format!("{userinfo}{host}")),
            self.with_authority(&format!("{userinfo}{host}:{port}")),
        ]
    }

    /// The host without the port; an IPv6 address has its brackets.
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

    fn with_authority(&self, authority: &str) -> String {
        let mut url = format!("{}://{authority}{}", self.scheme, self.path);
        if let Some(query) = &self.query {
            url.push('?');
            url.push_str(query);
        }
        url
    }

    /// The path with the query.
    pub(super) fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// All values of `name` in the query, still encoded.
    pub(super) fn query_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.query.iter().flat_map(|q| q.split('&'));
        pairs.filter_map(move |pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Writes the URL unchanged, for `hookbridge send`, which signs it.
impl std::fmt::Display for RequestUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.with_authority(&self.authority))
    }
}

/// `PUBLIC_URL`: the URL of an endpoint as configured at the provider, for an endpoint behind a custom domain or a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(RequestUrl);

/// Why a text is not a valid URL.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// The scheme is neither `https` nor `http`.
    #[error("it must begin with https:// or http://")]
    InvalidScheme,
    /// The host is missing, or user information precedes it.
    #[error("it must name a host, with an optional port and without a user")]
    InvalidHost,
    /// A character is not allowed in a URL.
    #[error("it contains a character that is not allowed in a URL (space, control or non-ASCII character)")]
    InvalidCharacter,
    /// A public URL has a fragment.
    #[error("it must not contain a fragment (#), because HTTP clients do not send one")]
    Fragment,
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
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        text.parse().map(Self)
    }
}

impl PublicUrl {
    /// The query as configured at the provider.
    pub(super) fn query(&self) -> Option<&str> {
        self.0.query.as_deref()
    }

    /// Rewrites `request` to the URL that the sender used: with the scheme and host of the public URL, and with the public
    /// URL's path as a prefix. A proxy may strip the prefix or not, so a path that has the prefix stays unchanged. The query of
    /// `request` stays unchanged, too.
    pub(crate) fn rewrite(&self, request: RequestUrl) -> RequestUrl {
        let RequestUrl { scheme, authority, path: prefix, .. } = self.0.clone();
        let prefix_without_slash = prefix.trim_end_matches('/');
        let has_prefix = request
            .path
            .strip_prefix(prefix_without_slash)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let path = if has_prefix {
            request.path
        } else if request.path == "/" {
            prefix
        } else {
            format!("{prefix_without_slash}{}", request.path)
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
    fn a_url_round_trips() {
        for text in ["https://a.example/", "http://a.example:8080/b%2Fc?x=1&x=2&=", "https://[::1]:4/?"] {
            assert_eq!(url(text).to_string(), text);
        }
        assert_eq!(url("HTTPS://a.example?x#y").to_string(), "https://a.example/?x");
    }

    #[test]
    fn a_url_is_verified_with_and_without_its_port() {
        let signed_urls = |text| url(text).with_and_without_port("");
        assert_eq!(
            signed_urls("https://a.example/b?c"),
            ["https://a.example/b?c", "https://a.example:443/b?c"]
        );
        assert_eq!(signed_urls("http://a.example:81/"), ["http://a.example/", "http://a.example:81/"]);
        assert_eq!(signed_urls("http://[::1]/"), ["http://[::1]/", "http://[::1]:80/"]);
        assert_eq!(
            url("https://a.example/").with_and_without_port("me:secret@"),
            ["https://me:secret@a.example/", "https://me:secret@a.example:443/"]
        );
    }

    #[test]
    fn a_public_url_replaces_the_origin_of_a_request() {
        let rewritten = |public: &str, request: &str| {
            public.parse::<PublicUrl>().unwrap().rewrite(url(request)).to_string()
        };
        let function_url = "https://id.lambda-url.eu-west-1.on.aws";
        assert_eq!(rewritten("https://a.example", &format!("{function_url}/?x=1")), "https://a.example/?x=1");
        assert_eq!(
            rewritten("https://a.example/in", &format!("{function_url}/?x=1")),
            "https://a.example/in?x=1"
        );
        assert_eq!(rewritten("https://a.example/in/", &format!("{function_url}/")), "https://a.example/in/");
        assert_eq!(
            rewritten("https://a.example/in", &format!("{function_url}/in/voice")),
            "https://a.example/in/voice"
        );
        assert_eq!(
            rewritten("https://a.example/in", &format!("{function_url}/voice")),
            "https://a.example/in/voice"
        );
        assert_eq!(
            rewritten("https://a.example/in", &format!("{function_url}/inner")),
            "https://a.example/in/inner"
        );
    }

    #[test]
    fn an_invalid_public_url_is_rejected_with_the_reason() {
        let parse_error = |text: &str| text.parse::<PublicUrl>().unwrap_err().to_string();
        assert_eq!(parse_error("a.example"), "it must begin with https:// or http://");
        assert_eq!(parse_error("ftp://a.example"), "it must begin with https:// or http://");
        assert_eq!(
            parse_error("https:///x"),
            "it must name a host, with an optional port and without a user"
        );
        assert_eq!(
            parse_error("https://me@a.example"),
            "it must name a host, with an optional port and without a user"
        );
        assert!(parse_error("https://a.example/ ").starts_with("it contains a character"));
        assert!(parse_error("https://a.example/#x").starts_with("it must not contain a fragment"));
    }
}
