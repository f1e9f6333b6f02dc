"""Verifies signed sample webhooks as each provider's documentation tells a receiver to, with the provider's own SDK where a
small one exists. It is written from the documentation alone: an error in hookbridge's own code is not repeated here.

usage: python verify_catalogue.py < SAMPLES, each a line of JSON: {"provider": "slack", "secret": "the verifying secret",
"method": "POST", "url": "https://...", "headers": {"lower-case": "value"}, "body": "base64 of the raw body"}
Prints one line per provider with a sample that does not verify, and exits with 1; or "verified N samples of M providers".
"""

import base64
import contextlib
import hashlib
import hmac
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from types import SimpleNamespace
from unittest import mock
from urllib.parse import parse_qsl, quote, urlsplit

import Adyen.util
import braintree
import gocardless_pro.webhooks
import jwt
import polar.webhooks
import razorpay
import replicate.webhook
import resend
import slack_sdk.signature
import standardwebhooks
import stripe
import svix.webhooks
import workos
from box_sdk_gen.managers.webhooks import WebhooksManager
from coinbase_commerce.webhook import WebhookSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paddle_billing.Notifications import PaddleSignature, Secret
from sendgrid.helpers.eventwebhook import EventWebhook
from twilio.request_validator import RequestValidator, get_signature_algorithm
from werkzeug.datastructures import MultiDict


class VerificationError(Exception):
    """Says why a sample does not verify. The message never contains a secret."""


def require(condition: object, message: str) -> None:
    if not condition:
        raise VerificationError(message)


def is_same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())


@dataclass(frozen=True)
class Sample:
    provider: str
    secret: str
    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    @classmethod
    def from_json(cls, line: str) -> "Sample":
        fields = json.loads(line)
        return cls(**fields | {"body": base64.b64decode(fields["body"], validate=True)})

    def header(self, name: str) -> str:
        require(name in self.headers, f"the request has no header {name}")
        return self.headers[name]

    def text(self) -> str:
        return self.body.decode()

    def json(self) -> dict:
        return json.loads(self.body)

    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.url).query, keep_blank_values=True)

    def form(self) -> list[tuple[str, str]]:
        return parse_qsl(self.text(), keep_blank_values=True)


Verifier = Callable[[Sample], None]


# Timestamps. A unit returns Unix seconds, and rejects a timestamp that is written in another unit.

Unit = Callable[[str], float]


def seconds(timestamp: str) -> float:
    require(re.fullmatch(r"[1-9]\d{9}", timestamp), "the timestamp is not in seconds")
    return int(timestamp)


def milliseconds(timestamp: str) -> float:
    require(re.fullmatch(r"[1-9]\d{12}", timestamp), "the timestamp is not in milliseconds")
    return int(timestamp) / 1000


def rfc3339(timestamp: str) -> float:
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
    require(re.fullmatch(pattern, timestamp), "the timestamp is not of RFC 3339")
    return datetime.fromisoformat(timestamp).timestamp()


@contextlib.contextmanager
def clock_at(time: float) -> Iterator[None]:
    """Sets the clock that the SDKs compare timestamps with, because a sample may have been signed long ago."""

    class StoppedClock(datetime):
        @classmethod
        def now(cls, tz: timezone | None = None) -> datetime:
            return cls.fromtimestamp(time, tz)

    with mock.patch("time.time", return_value=time), mock.patch("standardwebhooks.webhooks.datetime", StoppedClock):
        yield


# Keys and encodings.


def text_key(secret: str) -> bytes:
    return secret.encode()


def base64_key(secret: str) -> bytes:
    return base64.b64decode(secret, validate=True)


def to_hex(digest: bytes) -> str:
    return digest.hex()


def to_base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def to_base64url(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


# Schemes. Each raises an exception if the sample does not verify.


def verify_hmac(
    sample: Sample,
    header: str,
    signed: str = "{body}",
    algorithm: str = "sha256",
    encoding: Callable[[bytes], str] = to_hex,
    prefix: str = "",
    separator: str | None = None,
    key: Callable[[str], bytes] = text_key,
    timestamp: str | None = None,
    unit: Unit = seconds,
) -> None:
    """An HMAC in a header.

    signed: the signed content, with {url}, {body}, {timestamp} and {name-of-a-header} in the place of values
    separator: between the signatures of a header that may have several, of which one must match
    timestamp, unit: the header with the timestamp, and how it is written
    """
    if timestamp:
        unit(sample.header(timestamp))
        signed = signed.replace("{timestamp}", "{" + timestamp + "}")
    expected = prefix + encoding(hmac.digest(key(sample.secret), signed_content(sample, signed), algorithm))
    value = sample.header(header)
    signatures = [signature.strip() for signature in value.split(separator)] if separator else [value]
    matches = any(is_same(signature, expected) for signature in signatures)
    require(matches, f"{header} is not the expected HMAC-{algorithm.upper()} of {signed}")


def signed_content(sample: Sample, template: str) -> bytes:
    parts = {"url": sample.url.encode(), "body": sample.body}

    def part(name: str) -> bytes:
        return parts[name] if name in parts else sample.header(name).encode()

    literals_and_names = re.split(r"\{([a-z0-9-]+)\}", template)
    return b"".join(part(piece) if index % 2 else piece.encode() for index, piece in enumerate(literals_and_names))


def verify_timestamped_hmac(
    sample: Sample,
    header: str,
    unit: Unit,
    timestamp: str = "t",
    signature: str = "v1",
    encoding: Callable[[bytes], str] = to_hex,
) -> None:
    """A header such as t=1614265330,v1=5257a869...: an HMAC-SHA256 of the timestamp, a full stop and the body.

    timestamp, signature: their names in the header
    """
    pairs = [pair.strip().partition("=") for pair in sample.header(header).split(",")]
    timestamps = [value for name, _, value in pairs if name == timestamp]
    signatures = [value for name, _, value in pairs if name == signature]
    require(len(timestamps) == 1, f"{header} has no {timestamp}, or several")
    verify_hmac_of_timestamp_and_body(sample, header, timestamps[0], signatures, unit, encoding)


def verify_hmac_of_timestamp_and_body(
    sample: Sample,
    header: str,
    timestamp: str,
    signatures: list[str],
    unit: Unit,
    encoding: Callable[[bytes], str] = to_hex,
) -> None:
    unit(timestamp)
    expected = encoding(hmac.digest(sample.secret.encode(), timestamp.encode() + b"." + sample.body, "sha256"))
    matches = any(is_same(signature, expected) for signature in signatures)
    require(matches, f"{header} has no expected HMAC-SHA256 of the timestamp, a full stop and the body")


def verify_token(sample: Sample, header: str) -> None:
    """The whole header is the secret."""
    require(is_same(sample.header(header), sample.secret), f"{header} is not the secret")


def verify_authorization(sample: Sample, schemes: tuple[str, ...]) -> None:
    """The secret is user:password for Basic, the token for Bearer."""
    scheme, _, credentials = sample.header("authorization").partition(" ")
    require(scheme.lower() in schemes, f"the scheme of authorization is not {' or '.join(schemes)}")
    if scheme.lower() == "basic":
        credentials = base64.b64decode(credentials, validate=True).decode()
    require(is_same(credentials, sample.secret), "authorization does not have the secret")


def verify_bearer_or_query(sample: Sample, parameter: str | None = None) -> None:
    """A bearer token, or a parameter of the query; with no name for the parameter, any one."""
    if "authorization" in sample.headers:
        verify_authorization(sample, ("bearer",))
    else:
        values = [value for name, value in sample.query() if parameter in (None, name)]
        require(any(is_same(value, sample.secret) for value in values), "neither a header nor the query has the secret")


def verify_jws(sample: Sample, header: str, algorithms: list[str], claim: str, body_hash: str, issuer: str | None) -> None:
    """A JSON Web Token with a hash of the body as a claim."""
    claims = jwt.decode(sample.header(header), sample.secret, algorithms=algorithms, issuer=issuer)
    require(claims.get(claim) == body_hash, f"the claim {claim} is not the hash of the body")


def verify_standard_webhooks(sample: Sample) -> None:
    time = seconds(sample.header("webhook-timestamp"))
    if sample.secret.startswith("whpk_"):
        verify_standard_webhooks_public_key(sample)
    else:
        with clock_at(time):
            standardwebhooks.Webhook(sample.secret).verify(sample.body, sample.headers, json_parse=False)


def verify_standard_webhooks_public_key(sample: Sample) -> None:
    """The library has no public keys, so this follows the specification."""
    public_key = Ed25519PublicKey.from_public_bytes(base64_key(sample.secret.removeprefix("whpk_")))
    versioned = [signature.partition(",") for signature in sample.header("webhook-signature").split(" ")]
    signatures = [signature for version, _, signature in versioned if version == "v1a"]
    require(len(signatures) == 1, "webhook-signature has no signature v1a, or several")
    content = signed_content(sample, "{webhook-id}.{webhook-timestamp}.{body}")
    public_key.verify(base64.b64decode(signatures[0], validate=True), content)


def verify_svix(sample: Sample) -> None:
    timestamp = "svix-timestamp" if "svix-timestamp" in sample.headers else "webhook-timestamp"
    with clock_at(seconds(sample.header(timestamp))):
        svix.webhooks.Webhook(sample.secret).verify(sample.body, sample.headers)


# Providers with an SDK.


def verify_adyen(sample: Sample) -> None:
    if "hmacsignature" in sample.headers:
        signature = sample.header("hmacsignature")
        require(Adyen.util.is_valid_hmac_payload(signature, sample.secret, sample.body), "hmacsignature does not match")
        return
    items = sample.json()["notificationItems"]
    require(items, "notificationItems is empty")
    for item in items:
        notification = item["NotificationRequestItem"]
        require(Adyen.util.is_valid_hmac_notification(notification, sample.secret), "an hmacSignature does not match")


def verify_braintree(sample: Sample) -> None:
    public_key, private_key = sample.secret.split("|")
    configuration = braintree.Configuration(
        environment=braintree.Environment.Sandbox, merchant_id="m", public_key=public_key, private_key=private_key)
    form = dict(sample.form())
    gateway = braintree.BraintreeGateway(configuration)
    notification = gateway.webhook_notification.parse(form["bt_signature"], form["bt_payload"])
    require(notification.timestamp, "the notification has no timestamp")


def verify_box(sample: Sample) -> None:
    with clock_at(rfc3339(sample.header("box-delivery-timestamp"))):
        matches = WebhooksManager.validate_message(
            sample.text(), sample.headers, sample.secret, secondary_key=sample.secret)
    require(matches, "neither box-signature-primary nor box-signature-secondary matches")


def verify_coinbase_commerce(sample: Sample) -> None:
    WebhookSignature.verify_sig_header(sample.text(), sample.header("x-cc-webhook-signature"), sample.secret)


def verify_gocardless(sample: Sample) -> None:
    gocardless_pro.webhooks.parse(sample.text(), sample.secret, sample.header("webhook-signature"))


def verify_paddle(sample: Sample) -> None:
    signature = sample.header("paddle-signature")
    timestamp, _ = PaddleSignature.parse(signature)
    seconds(str(timestamp))
    require(PaddleSignature().verify(signature, sample.text(), Secret(sample.secret)), "paddle-signature does not match")


def verify_polar(sample: Sample) -> None:
    event_type = sample.json()["type"]
    with clock_at(seconds(sample.header("webhook-timestamp"))):
        polar.webhooks.validate_event(sample.body, sample.headers, sample.secret, frozenset([event_type]), dict)


def verify_razorpay(sample: Sample) -> None:
    signature = sample.header("x-razorpay-signature")
    razorpay.Utility().verify_webhook_signature(sample.text(), signature, sample.secret)


def verify_replicate(sample: Sample) -> None:
    seconds(sample.header("webhook-timestamp"))
    secret = replicate.webhook.WebhookSigningSecret(key=sample.secret)
    replicate.webhook.Webhooks.validate(headers=sample.headers, body=sample.text(), secret=secret)


def verify_resend(sample: Sample) -> None:
    headers = {name: sample.header("svix-" + name) for name in ("id", "timestamp", "signature")}
    with clock_at(seconds(headers["timestamp"])):
        resend.Webhooks.verify({"payload": sample.text(), "headers": headers, "webhook_secret": sample.secret})


def verify_sendgrid(sample: Sample) -> None:
    signature = sample.header("x-twilio-email-event-webhook-signature")
    timestamp = sample.header("x-twilio-email-event-webhook-timestamp")
    seconds(timestamp)
    matches = EventWebhook(sample.secret).verify_signature(sample.text(), signature, timestamp)
    require(matches, "x-twilio-email-event-webhook-signature does not match")


def verify_slack(sample: Sample) -> None:
    time = seconds(sample.header("x-slack-request-timestamp"))
    verifier = slack_sdk.signature.SignatureVerifier(sample.secret, SimpleNamespace(now=lambda: time))
    require(verifier.is_valid_request(sample.body, sample.headers), "x-slack-signature does not match")


def verify_stripe(sample: Sample) -> None:
    stripe.WebhookSignature.verify_header(sample.body, sample.header("stripe-signature"), sample.secret)


def verify_twilio(sample: Sample) -> None:
    parameters: MultiDict | str = MultiDict()
    if sample.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        parameters = MultiDict(sample.form())
    elif sample.body:
        require("bodySHA256" in dict(sample.query()), "the query has no bodySHA256, so nothing covers the body")
        parameters = sample.text()
    algorithm = get_signature_algorithm(sample.headers.get("x-twilio-webhooks-signature-settings"))
    signature = sample.header("x-twilio-signature")
    matches = RequestValidator(sample.secret).validate(sample.url, parameters, signature, algorithm)
    require(matches, "x-twilio-signature or bodySHA256 does not match")


def verify_workos(sample: Sample) -> None:
    signature = sample.header("workos-signature")
    timestamp = signature.removeprefix("t=").partition(",")[0]
    client = workos.WorkOSClient(api_key="not used", client_id="not used")
    with clock_at(milliseconds(timestamp)):
        client.webhooks.verify_header(event_body=sample.body, event_signature=signature, secret=sample.secret)


# Providers with a scheme of their own.


def verify_buildkite(sample: Sample) -> None:
    """A webhook sends either its token or a signature."""
    if "x-buildkite-token" in sample.headers:
        verify_token(sample, "x-buildkite-token")
    else:
        verify_timestamped_hmac(sample, "x-buildkite-signature", seconds, "timestamp", "signature")


def verify_contentful(sample: Sample) -> None:
    milliseconds(sample.header("x-contentful-timestamp"))
    names = sample.header("x-contentful-signed-headers").split(",")
    require(names == sorted(names), "x-contentful-signed-headers is not sorted")
    for name in ("x-contentful-signed-headers", "x-contentful-timestamp"):
        require(name in names, f"{name} is not among the signed headers")
    headers = ";".join(f"{name}:{sample.header(name).strip()}" for name in names)
    head = "\n".join([sample.method, contentful_path(sample.url), headers, ""])
    expected = hmac.digest(sample.secret.encode(), head.encode() + sample.body, "sha256").hex()
    require(is_same(sample.header("x-contentful-signature"), expected), "x-contentful-signature does not match")


def contentful_path(url: str) -> str:
    """Contentful's SDK escapes the query twice, first like JavaScript's encodeURIComponent and then like encodeURI."""
    parts = urlsplit(url)
    query = "?" + quote(parts.query, safe="!~*'()") if parts.query else ""
    return quote(parts.path + query, safe=";,/?:@&=+$!~*'()#")


def verify_discord(sample: Sample) -> None:
    seconds(sample.header("x-signature-timestamp"))
    signature = bytes.fromhex(sample.header("x-signature-ed25519"))
    content = signed_content(sample, "{x-signature-timestamp}{body}")
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(sample.secret)).verify(signature, content)


def verify_docusign(sample: Sample) -> None:
    """One header per active key, of which one must match."""
    names = [name for name in sample.headers if re.fullmatch(r"x-docusign-signature-\d+", name)]
    expected = to_base64(hmac.digest(sample.secret.encode(), sample.body, "sha256"))
    matches = any(is_same(sample.header(name), expected) for name in names)
    require(matches, "no header x-docusign-signature-N is the expected HMAC-SHA256 of the body")


def verify_fusionauth(sample: Sample) -> None:
    body_hash = to_base64(hashlib.sha256(sample.body).digest())
    algorithms = ["HS256", "HS384", "HS512"]
    verify_jws(sample, "x-fusionauth-signature-jwt", algorithms, "request_body_sha256", body_hash, issuer=None)


def verify_gitlab(sample: Sample) -> None:
    """With a signing token, Standard Webhooks; with the older secret token, the token itself."""
    if "webhook-signature" in sample.headers:
        verify_standard_webhooks(sample)
    else:
        verify_token(sample, "x-gitlab-token")


def verify_grafana(sample: Sample) -> None:
    """The contact point names the header of the timestamp, which then is signed too."""
    header, timestamp = "x-grafana-alerting-signature", "x-grafana-alerting-timestamp"
    if timestamp in sample.headers:
        verify_hmac(sample, header, signed="{timestamp}:{body}", timestamp=timestamp)
    else:
        verify_hmac(sample, header)


def verify_hubspot(sample: Sample) -> None:
    """The documentation decodes some escapes of the URL, HubSpot's SDKs decode none."""
    timestamp = sample.header("x-hubspot-request-timestamp")
    milliseconds(timestamp)
    decoded_url = sample.url
    for character in ":/?@!$'()*,;":
        decoded_url = re.sub("%%%02x" % ord(character), character, decoded_url, flags=re.IGNORECASE)
    signatures = []
    for url in (sample.url, decoded_url):
        content = (sample.method + url).encode() + sample.body + timestamp.encode()
        signatures.append(to_base64(hmac.digest(sample.secret.encode(), content, "sha256")))
    matches = any(is_same(sample.header("x-hubspot-signature-v3"), signature) for signature in signatures)
    require(matches, "x-hubspot-signature-v3 is not the expected HMAC-SHA256 of method, URL, body and timestamp")


def verify_linear(sample: Sample) -> None:
    verify_hmac(sample, "linear-signature")
    milliseconds(str(sample.json()["webhookTimestamp"]))


def verify_mailgun(sample: Sample) -> None:
    """The signature in the body does not cover the event."""
    block = sample.json()["signature"]
    seconds(block["timestamp"])
    expected = hmac.digest(sample.secret.encode(), (block["timestamp"] + block["token"]).encode(), "sha256").hex()
    signatures = [block["signature"], block.get("parent-signature", "")]
    require(any(is_same(signature, expected) for signature in signatures), "signature.signature does not match")


def verify_mandrill(sample: Sample) -> None:
    content = sample.url + "".join(name + value for name, value in sorted(sample.form()))
    expected = to_base64(hmac.digest(sample.secret.encode(), content.encode(), "sha1"))
    require(is_same(sample.header("x-mandrill-signature"), expected), "x-mandrill-signature does not match")


def verify_microsoft_graph(sample: Sample) -> None:
    notifications = sample.json()["value"]
    require(notifications, "value is empty")
    for notification in notifications:
        require(is_same(notification["clientState"], sample.secret), "a clientState is not the secret")


def verify_netlify(sample: Sample) -> None:
    body_hash = hashlib.sha256(sample.body).hexdigest()
    verify_jws(sample, "x-webhook-signature", ["HS256"], "sha256", body_hash, issuer="netlify")


def verify_recurly(sample: Sample) -> None:
    timestamp, *signatures = sample.header("recurly-signature").split(",")
    verify_hmac_of_timestamp_and_body(sample, "recurly-signature", timestamp, signatures, milliseconds)


def verify_shopify(sample: Sample) -> None:
    """The Events product has the header without x-."""
    header = "shopify-hmac-sha256" if "shopify-hmac-sha256" in sample.headers else "x-shopify-hmac-sha256"
    verify_hmac(sample, header, encoding=to_base64)


def verify_supabase(sample: Sample) -> None:
    """Standard Webhooks, but with v1, before the secret and with commas between the signatures."""
    signatures = sample.header("webhook-signature").replace(", ", " ")
    verify_standard_webhooks(Sample(
        **vars(sample) | {
            "secret": sample.secret.removeprefix("v1,"),
            "headers": sample.headers | {"webhook-signature": signatures},
        }))


def verify_x(sample: Sample) -> None:
    """The header -oauth2 is signed with the OAuth 2.0 client secret and counts when it is present."""
    header = "x-twitter-webhooks-signature-oauth2"
    if header not in sample.headers:
        header = "x-twitter-webhooks-signature"
    verify_hmac(sample, header, prefix="sha256=", encoding=to_base64)


VERIFIERS: dict[str, Verifier] = {
    # An HMAC of the body.
    "airtable": partial(verify_hmac, header="x-airtable-content-mac", prefix="hmac-sha256=", key=base64_key),
    "asana": partial(verify_hmac, header="x-hook-signature"),
    "bitbucket": partial(verify_hmac, header="x-hub-signature", prefix="sha256="),
    "cal-com": partial(verify_hmac, header="x-cal-signature-256"),
    "circleci": partial(verify_hmac, header="circleci-signature", prefix="v1=", separator=","),
    "cursor": partial(verify_hmac, header="x-webhook-signature", prefix="sha256="),
    "docusign": verify_docusign,
    "dropbox": partial(verify_hmac, header="x-dropbox-signature"),
    "github": partial(verify_hmac, header="x-hub-signature-256", prefix="sha256="),
    "heroku": partial(verify_hmac, header="heroku-webhook-hmac-sha256", encoding=to_base64),
    "intercom": partial(verify_hmac, header="x-hub-signature", algorithm="sha1", prefix="sha1="),
    "jira": partial(verify_hmac, header="x-hub-signature", prefix="sha256="),
    "lemon-squeezy": partial(verify_hmac, header="x-signature"),
    "line": partial(verify_hmac, header="x-line-signature", encoding=to_base64),
    "linear": verify_linear,
    "meta": partial(verify_hmac, header="x-hub-signature-256", prefix="sha256="),
    "notion": partial(verify_hmac, header="x-notion-signature", prefix="sha256="),
    "npm": partial(verify_hmac, header="x-npm-signature", prefix="sha256="),
    "pagerduty": partial(verify_hmac, header="x-pagerduty-signature", prefix="v1=", separator=","),
    "quickbooks": partial(verify_hmac, header="intuit-signature", encoding=to_base64),
    "segment": partial(verify_hmac, header="x-signature", algorithm="sha1"),
    "sentry": partial(verify_hmac, header="sentry-hook-signature"),
    "shopify": verify_shopify,
    "typeform": partial(verify_hmac, header="typeform-signature", prefix="sha256=", encoding=to_base64),
    "vercel": partial(verify_hmac, header="x-vercel-signature", algorithm="sha1"),
    "woocommerce": partial(verify_hmac, header="x-wc-webhook-signature", encoding=to_base64),
    "x": verify_x,
    "xero": partial(verify_hmac, header="x-xero-signature", encoding=to_base64),
    # An HMAC of the body and a timestamp.
    "buildkite": verify_buildkite,
    "calendly": partial(verify_timestamped_hmac, header="calendly-webhook-signature", unit=seconds),
    "customer-io": partial(
        verify_hmac, header="x-cio-signature", signed="v0:{timestamp}:{body}", timestamp="x-cio-timestamp"),
    "elevenlabs": partial(verify_timestamped_hmac, header="elevenlabs-signature", unit=seconds, signature="v0"),
    "grafana": verify_grafana,
    "mux": partial(verify_timestamped_hmac, header="mux-signature", unit=seconds),
    "recurly": verify_recurly,
    "sanity": partial(verify_timestamped_hmac, header="sanity-webhook-signature", unit=milliseconds, encoding=to_base64url),
    "twitch": partial(
        verify_hmac, header="twitch-eventsub-message-signature", prefix="sha256=",
        signed="{twitch-eventsub-message-id}{timestamp}{body}", timestamp="twitch-eventsub-message-timestamp", unit=rfc3339),
    "webflow": partial(
        verify_hmac, header="x-webflow-signature",
        signed="{timestamp}:{body}", timestamp="x-webflow-timestamp", unit=milliseconds),
    "zendesk": partial(
        verify_hmac, header="x-zendesk-webhook-signature", encoding=to_base64,
        signed="{timestamp}{body}", timestamp="x-zendesk-webhook-signature-timestamp", unit=rfc3339),
    "zoom": partial(
        verify_hmac, header="x-zm-signature", prefix="v0=",
        signed="v0:{timestamp}:{body}", timestamp="x-zm-request-timestamp"),
    # An HMAC of the URL and the body.
    "contentful": verify_contentful,
    "hubspot": verify_hubspot,
    "mandrill": verify_mandrill,
    "square": partial(verify_hmac, header="x-square-hmacsha256-signature", signed="{url}{body}", encoding=to_base64),
    "trello": partial(verify_hmac, header="x-trello-webhook", signed="{body}{url}", algorithm="sha1", encoding=to_base64),
    # Standard Webhooks, with the library of Standard Webhooks or of Svix.
    "clerk": verify_svix,
    "gitlab": verify_gitlab,
    "openai": verify_standard_webhooks,
    "standard-webhooks": verify_standard_webhooks,
    "supabase": verify_supabase,
    "svix": verify_svix,
    # The provider's SDK.
    "adyen": verify_adyen,
    "braintree": verify_braintree,
    "box": verify_box,
    "coinbase-commerce": verify_coinbase_commerce,
    "gocardless": verify_gocardless,
    "paddle": verify_paddle,
    "polar": verify_polar,
    "razorpay": verify_razorpay,
    "replicate": verify_replicate,
    "resend": verify_resend,
    "sendgrid": verify_sendgrid,
    "slack": verify_slack,
    "stripe": verify_stripe,
    "twilio": verify_twilio,
    "workos": verify_workos,
    # A public key, a JSON Web Token, or a signature in the body.
    "discord": verify_discord,
    "fusionauth": verify_fusionauth,
    "mailgun": verify_mailgun,
    "netlify": verify_netlify,
    # The secret itself.
    "alertmanager": partial(verify_authorization, schemes=("bearer", "basic")),
    "auth0": partial(verify_token, header="authorization"),
    "azure-event-grid": verify_bearer_or_query,
    "chargebee": partial(verify_authorization, schemes=("basic",)),
    "cloudevents": partial(verify_bearer_or_query, parameter="access_token"),
    "datadog": partial(verify_authorization, schemes=("bearer", "basic")),
    "microsoft-graph": verify_microsoft_graph,
    "okta": partial(verify_token, header="authorization"),
    "postmark": partial(verify_authorization, schemes=("basic",)),
    "sparkpost": partial(verify_authorization, schemes=("basic", "bearer")),
    "telegram": partial(verify_token, header="x-telegram-bot-api-secret-token"),
}


def failure(sample: Sample) -> str | None:
    """Returns why a sample does not verify, or None if it does."""
    if sample.provider not in VERIFIERS:
        return "no verifier"
    try:
        VERIFIERS[sample.provider](sample)
    except VerificationError as error:
        return str(error)
    except Exception as error:  # its message may contain the secret
        return f"the verification raised {type(error).__name__}"
    return None


def main() -> int:
    samples = [Sample.from_json(line) for line in sys.stdin]
    failures: dict[str, str] = {}
    for sample in samples:
        if reason := failure(sample):
            failures.setdefault(sample.provider, reason)
    for provider, reason in failures.items():
        print(f"{provider}: {reason}")
    if failures:
        return 1
    print(f"verified {len(samples)} samples of {len({sample.provider for sample in samples})} providers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
