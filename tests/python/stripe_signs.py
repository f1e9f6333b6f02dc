"""Signs webhooks with Stripe's own library and posts them to URL. Prints one JSON line per webhook, with the status of the
response. usage: stripe_signs.py URL SECRET"""

import json
import sys
import time
import urllib.error
import urllib.request

import stripe

url, secret = sys.argv[1:]


def post(body, header):
    request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json; charset=utf-8"})
    request.add_header("Stripe-Signature", header)
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return error.code


def event(number):
    body = {"id": "evt_%d" % number, "object": "event", "type": "charge.succeeded", "created": 1686089970 + number}
    return json.dumps(body | {"data": {"object": {"description": "café ☃ \"quoted\"", "amount": number}}},
                      indent=2, ensure_ascii=number % 2 == 0)


def report(body, status):
    print(json.dumps({"body": body, "status": status}))


now = int(time.time())
sign = stripe.WebhookSignature.generate_signature_header
for number in range(10):
    report(event(number), post(event(number), sign(event(number), secret)))
# While a secret is rolled, Stripe signs with both.
rolled = sign(event(10), "whsec_other", now) + "," + sign(event(10), secret, now).split(",")[1]
report(event(10), post(event(10), rolled))
report(event(11), post(event(11), sign(event(11), "whsec_other")))
report(event(12), post(event(12), sign(event(12), secret, now - 3600)))
