"""Signs webhooks with Twilio's own library and posts them to URL. Prints one JSON line per webhook, with the status of the
response. usage: twilio_signs.py URL TOKEN"""

import hashlib
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

from twilio.request_validator import RequestValidator

base, token = sys.argv[1:]
validator = RequestValidator(token)


class Repeated(dict):
    """Parameters that may have several values per name, in the form that the library accepts."""

    def getall(self, name):
        return self[name]


def post(url, body, content_type, signature):
    request = urllib.request.Request(url, body, {"Content-Type": content_type, "X-Twilio-Signature": signature})
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return error.code


def form(name, url, pairs, algorithm=None, signed_url=None):
    values = Repeated()
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    signature = validator.compute_signature(signed_url or url, values, algorithm)
    body = urllib.parse.urlencode(pairs).encode()
    status = post(url, body, "application/x-www-form-urlencoded; charset=UTF-8", signature)
    print(json.dumps({"name": name, "status": status, "pairs": pairs}))


def json_body(name, url, document, tamper=False):
    body = json.dumps(document).encode()
    url += ("&" if "?" in url else "?") + "bodySHA256=" + hashlib.sha256(body).hexdigest()
    signature = validator.compute_signature(url, {})
    if tamper:
        body = body.replace(b"1", b"2")
    print(json.dumps({"name": name, "status": post(url, body, "application/json", signature)}))


message = [("From", "+14158675310"), ("Body", "Grüße & more = ✓"), ("AccountSid", "AC1"), ("FromCity", "")]
form("form", base, message)
form("form with a query", base + "?shop=1&x=a%20b", message)
form("repeated parameters", base, message + [("MediaUrl", "b"), ("MediaUrl", "a"), ("MediaUrl", "a")])
form("names that sort by case", base, [("b", "1"), ("B", "2"), ("a", "3"), ("Ab", "4")])
form("a shared key's SHA-256", base, message, "HMAC_SHA256")
without_port = base.replace(":%d" % urllib.parse.urlparse(base).port, "")
form("signed without the port", base, message, signed_url=without_port)
json_body("json", base, {"event": 1})
json_body("json with a query", base + "?shop=1", {"event": 1})
json_body("json, tampered with", base, {"event": 1}, tamper=True)
form("another url", base + "?shop=1", message, signed_url=base + "?shop=2")
validator = RequestValidator("another token")
form("another token", base, message)
