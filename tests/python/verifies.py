"""Verifies received requests with the libraries of Standard Webhooks and of Svix.

usage: python verifies.py SECRET < REQUESTS, each a line of JSON: {"headers": {...}, "body": "..."}
Prints two lines per request, one per library: "true" or the error.
"""

import json
import sys

import standardwebhooks
import svix.webhooks

for line in sys.stdin:
    request = json.loads(line)
    for library in (standardwebhooks, svix.webhooks):
        try:
            library.Webhook(sys.argv[1]).verify(request["body"], request["headers"])
            print("true")
        except Exception as error:  # any exception means that it is not verified
            print(error)
