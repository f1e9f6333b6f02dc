#!/usr/bin/env python3
"""Follows the event log: prints every event as a line of JSON, and goes on where it was when it is started again.

usage: TOKEN=... follow.py URL FILE    (FILE keeps the cursor)
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

url, file = sys.argv[1:]
cursor = open(file).read() if os.path.exists(file) else "start"
while True:
    query = urllib.parse.urlencode({"after": cursor, "wait": 20})
    headers = {"Authorization": "Bearer " + os.environ.get("TOKEN", "")}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/events?{query}", headers=headers), timeout=40) as answer:
            page = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code < 500:  # 410: what comes next is no longer kept
            sys.exit(f"{error.code}: {error.read().decode()}")
        time.sleep(1)
        continue
    except OSError:
        time.sleep(1)
        continue
    for event in page["data"]:
        print(json.dumps(event), flush=True)  # here your work is done; then the cursor is kept
    cursor = page["cursor"]
    with open(file + ".new", "w") as new:
        new.write(cursor)
    os.replace(file + ".new", file)
