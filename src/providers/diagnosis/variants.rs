//! Changes that people and programs make to a body, a secret or a URL before a signature is verified.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, STANDARD_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};
use serde_json::Value;

use super::super::{KeyFormat, RawWebhook, RequestUrl};

/// A changed value, and the mistake that explains the change: a sentence for the operator. The unchanged value has no mistake.
pub(super) struct Variant<T> {
    pub(super) value: T,
    pub(super) mistake: Option<String>,
}

/// Collects the variants that differ from each other; the unchanged value comes first.
struct Variants<T>(Vec<Variant<T>>);

impl<T: PartialEq> Variants<T> {
    fn of(original: T) -> Self {
        Self(vec![Variant { value: original, mistake: None }])
    }

    fn add(&mut self, mistake: &str, value: T) {
        if self.0.iter().all(|variant| variant.value != value) {
            self.0.push(Variant { value, mistake: Some(mistake.to_owned()) });
        }
    }
}

/// The bodies that the provider may have signed, if `body` was changed afterwards.
pub(super) fn bodies(body: &[u8]) -> Vec<Variant<Vec<u8>>> {
    let mut variants = Variants::of(body.to_vec());
    variants.add("the body got a line break at its end after it was signed", trim_line_break(body).to_vec());
    variants.add("the body lost the line break at its end after it was signed", [body, b"\n"].concat());
    variants
        .add("the body lost the line break (CRLF) at its end after it was signed", [body, b"\r\n"].concat());
    variants
        .add("the body got white space at its start or end after it was signed", body.trim_ascii().to_vec());
    if let Some(rest) = body.strip_prefix(b"\xef\xbb\xbf") {
        variants.add("the body got a byte order mark after it was signed", rest.to_vec());
    }
    if let Ok(text) = std::str::from_utf8(body) {
        let unix = text.replace("\r\n", "\n");
        variants.add("the line breaks of the body became CRLF after it was signed", unix.clone().into());
        variants.add(
            "the line breaks (CRLF) of the body became LF after it was signed",
            unix.replace('\n', "\r\n").into(),
        );
        add_json_variants(&mut variants, text);
        add_encodings(&mut variants, text);
    }
    variants.0
}

fn trim_line_break(body: &[u8]) -> &[u8] {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    body.strip_suffix(b"\r").unwrap_or(body)
}

/// Other spellings of a JSON body.
fn add_json_variants(variants: &mut Variants<Vec<u8>>, text: &str) {
    let Ok(value) = serde_json::from_str::<Value>(text) else { return };
    let compact = reformat(text, Spacing::NONE);
    let spaced = reformat(text, Spacing { after_colon: " ", after_comma: " ", indent: None });
    let cause =
        "the JSON was parsed and written again before it was verified; verify the raw body. It was signed";
    variants.add(&format!("{cause} without white space"), compact.clone().into());
    variants.add(&format!("{cause} with a space after each colon and comma"), spaced.clone().into());
    for indent in [2, 4] {
        let spacing = Spacing { after_colon: " ", after_comma: "", indent: Some(indent) };
        variants
            .add(&format!("{cause} with an indentation of {indent} spaces"), reformat(text, spacing).into());
    }
    for (form, json) in [("without white space", &compact), ("with spaces", &spaced)] {
        variants
            .add(&format!("{cause} {form}, with escaped characters (\\u00fc)"), escape_unicode(json).into());
        variants.add(&format!("{cause} {form}, with escaped slashes (\\/)"), escape_slashes(json).into());
        variants.add(&format!("{cause} {form}, with unescaped slashes"), json.replace("\\/", "/").into());
    }
    // A `Value` has sorted keys and unescaped characters.
    let sorted = value.to_string();
    variants.add(&format!("{cause} with sorted keys, or with unescaped characters"), sorted.clone().into());
    variants.add(&format!("{cause} with sorted keys and escaped characters"), escape_unicode(&sorted).into());
    variants.add(
        &format!("{cause} with unescaped characters"),
        reformat(&unescape_unicode(text), Spacing::NONE).into(),
    );
}

/// Bodies that were encoded or decoded.
fn add_encodings(variants: &mut Variants<Vec<u8>>, text: &str) {
    if let Ok(decoded) = BASE64.decode(text.trim()) {
        variants.add(
            "the body is still encoded in base64, as Lambda and API Gateway deliver it; decode it",
            decoded,
        );
    }
    let encoded = utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    for (field, encoded) in [("payload", encoded.clone()), ("payload", encoded.replace("%20", "+"))] {
        let form = format!("{field}={encoded}");
        variants.add(
            "the provider sent a form and signed it as sent; verify the form, not its decoded field",
            form.into(),
        );
    }
    if text.contains('%') {
        let decoded = percent_decode(text.replace('+', " ").as_bytes()).collect();
        variants.add("the body is percent-encoded, and the provider signed it decoded", decoded);
    }
}

/// White space between the tokens of JSON.
#[derive(Clone, Copy)]
struct Spacing {
    after_colon: &'static str,
    after_comma: &'static str,
    indent: Option<usize>,
}

impl Spacing {
    const NONE: Self = Self { after_colon: "", after_comma: "", indent: None };
}

/// Writes valid JSON with other white space. Keeps the order of keys and the spelling of strings and numbers.
fn reformat(json: &str, spacing: Spacing) -> String {
    let mut output = String::with_capacity(json.len());
    let mut depth = 0_usize;
    let mut characters = json.chars().filter(|c| !c.is_ascii_control() || *c == '\t').peekable();
    let line_break = |output: &mut String, depth: usize| {
        if let Some(indent) = spacing.indent {
            output.push('\n');
            output.extend(std::iter::repeat_n(' ', indent * depth));
        }
    };
    let mut is_string = false;
    while let Some(character) = characters.next() {
        if is_string {
            output.push(character);
            match character {
                '\\' => output.extend(characters.next()),
                '"' => is_string = false,
                _ => {}
            }
            continue;
        }
        match character {
            ' ' | '\t' => {}
            '"' => {
                is_string = true;
                output.push('"');
            }
            '{' | '[' => {
                output.push(character);
                while characters.next_if(|next| matches!(next, ' ' | '\t')).is_some() {}
                let close = if character == '{' { '}' } else { ']' };
                if characters.next_if_eq(&close).is_some() {
                    output.push(close);
                } else {
                    depth += 1;
                    line_break(&mut output, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line_break(&mut output, depth);
                output.push(character);
            }
            ':' => {
                output.push(':');
                output.push_str(spacing.after_colon);
            }
            ',' => {
                output.push(',');
                output.push_str(spacing.after_comma);
                line_break(&mut output, depth);
            }
            other => output.push(other),
        }
    }
    output
}

fn escape_unicode(json: &str) -> String {
    let mut output = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            output.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                output.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    output
}

/// Replaces the escapes of characters outside ASCII by the characters.
fn unescape_unicode(json: &str) -> String {
    let mut output = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find("\\u") {
        let (before, escape) = rest.split_at(at);
        output.push_str(before);
        let unit = |text: &str| u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
        let units: Vec<u16> = [unit(escape), escape.get(6..).and_then(unit)].into_iter().flatten().collect();
        let decoded = char::decode_utf16(units).next().and_then(Result::ok).filter(|c| !c.is_ascii());
        let length = decoded.map_or(2, |character| 6 * character.len_utf16());
        match decoded {
            Some(character) => output.push(character),
            None => output.push_str("\\u"),
        }
        rest = &escape[length..];
    }
    output.push_str(rest);
    output
}

fn escape_slashes(json: &str) -> String {
    json.replace("\\/", "/").replace('/', "\\/")
}

/// The keys that the operator may have meant with `secret`, which must be decoded as `format`. Only the secret's first line.
pub(super) fn keys(secret: &str, format: KeyFormat) -> Vec<Variant<Vec<u8>>> {
    let first_line = secret.lines().find(|line| !line.is_empty()).unwrap_or_default();
    let decode = |text: &str| format.decode_line(text);
    let mut variants = Variants::of(decode(first_line).unwrap_or_default());
    let add = |variants: &mut Variants<Vec<u8>>, mistake: &str, key: Option<Vec<u8>>| {
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            variants.add(mistake, key);
        }
    };
    let trimmed = first_line.trim();
    add(&mut variants, "the secret has white space at its start or end; remove it", decode(trimmed));
    let unquoted = trimmed.trim_matches(['"', '\'']);
    add(&mut variants, "the secret is in quotes; remove them", decode(unquoted));
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let from_base64 = |text: &str| BASE64.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok();
    let from_hex = |text: &str| hex::decode(text).ok();
    let encoded = |bytes: Option<Vec<u8>>| bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    add(&mut variants, "the key is the secret as text, not decoded", text(trimmed));
    add(&mut variants, "the key is the secret decoded from base64", from_base64(trimmed));
    add(&mut variants, "the key is the secret decoded from hex", from_hex(trimmed));
    if let Some(rest) = trimmed.split_once('_').map(|(_, rest)| rest) {
        add(&mut variants, "the key is the secret without its prefix", text(rest));
        add(
            &mut variants,
            "the key is the secret without its prefix, decoded from base64",
            from_base64(rest),
        );
    }
    add(&mut variants, "the secret lacks the prefix whsec_", text(&format!("whsec_{trimmed}")));
    let twice = encoded(decode(trimmed)).and_then(|once| from_base64(&once).or_else(|| from_hex(&once)));
    add(&mut variants, "the key is the secret decoded twice", twice);
    add(
        &mut variants,
        "the secret is encoded in base64 once too often",
        encoded(from_base64(trimmed)).and_then(|once| decode(once.trim())),
    );
    add(
        &mut variants,
        "the secret has lower-case letters instead of upper-case letters",
        decode(&trimmed.to_uppercase()),
    );
    add(
        &mut variants,
        "the secret has upper-case letters instead of lower-case letters",
        decode(&trimmed.to_lowercase()),
    );
    variants.0
}

/// The URLs that the provider may have signed, if the URL of `webhook` is not the one that is configured at the provider.
pub(super) fn urls(webhook: &RawWebhook) -> Vec<Variant<RequestUrl>> {
    let Some(url) = webhook.urls().next() else { return Vec::new() };
    let mut variants = Variants::of(url.clone());
    for authority in authorities(webhook, url) {
        for scheme in ["https", "http"] {
            for path in
                [url.path.clone(), format!("{}/", url.path), url.path.trim_end_matches('/').to_owned()]
            {
                for query in queries(url.query.as_deref()) {
                    let url = RequestUrl { scheme, authority: authority.clone(), path: path.clone(), query };
                    variants.add(&format!("the provider signed another URL: {url}"), url);
                }
            }
        }
    }
    variants.0
}

/// The hosts, with and without ports, that a proxy may have replaced.
fn authorities(webhook: &RawWebhook, url: &RequestUrl) -> Vec<String> {
    let headers = ["x-forwarded-host", "x-original-host", "host"];
    let hosts = headers.iter().filter_map(|name| webhook.header(name)).map(str::to_owned);
    let with_ports = [url.authority.clone()].into_iter().chain(hosts).flat_map(|host| {
        let name = host.split(':').next().unwrap_or_default().to_owned();
        [host, name.clone(), format!("{name}:443"), format!("{name}:80")]
    });
    with_ports.collect()
}

/// Other orders and encodings of a query.
fn queries(query: Option<&str>) -> Vec<Option<String>> {
    let Some(query) = query else { return vec![None] };
    let mut parameters: Vec<&str> = query.split('&').collect();
    let reversed: Vec<&str> = parameters.iter().rev().copied().collect();
    parameters.sort_unstable();
    let decoded = percent_decode(query.as_bytes()).decode_utf8_lossy().into_owned();
    let queries = [
        query.to_owned(),
        parameters.join("&"),
        reversed.join("&"),
        decoded.replace(' ', "+"),
        decoded.replace(' ', "%20"),
        decoded,
    ];
    queries.into_iter().map(Some).chain([None]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_reformatted_without_other_changes() {
        let json = "{ \"b\" : [1.50, {} , [ ]],\n\t\"a\":\"x: , \\\" {\\u00fc\" }";
        assert_eq!(reformat(json, Spacing::NONE), r#"{"b":[1.50,{},[]],"a":"x: , \" {\u00fc"}"#);
        let spacing = Spacing { after_colon: " ", after_comma: "", indent: Some(2) };
        let pretty = "{\n  \"b\": [\n    1.50,\n    {},\n    []\n  ],\n  \"a\": \"x: , \\\" {\\u00fc\"\n}";
        assert_eq!(reformat(json, spacing), pretty);
        assert_eq!(escape_unicode("\"ü😀\""), r#""\u00fc\ud83d\ude00""#);
        assert_eq!(unescape_unicode(r#""\u00fc\ud83d\ude00\u0041\n""#), "\"ü😀\\u0041\\n\"");
    }
}
