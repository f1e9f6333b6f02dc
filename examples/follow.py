#!/usr/bin/env python3
"""Follows the event log: prints every event as a line of JSON. After a restart it continues at the stored cursor.

usage: TOKEN=... follow.py URL FILE    (FILE stores the cursor)
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
        if error.code < 500:  # 410: the events after the cursor have expired
            sys.exit(f"{error.code}: {error.read().decode()}")
        time.sleep(1)
        continue
    except OSError:
        time.sleep(1)
        continue
    for event in page["data"]:
        print(json.dumps(event), flush=True)  # process the event here, before the cursor is stored
    cursor = page["cursor"]
    with open(file + ".new", "w") as new:
        new.write(cursor)
    os.replace(file + ".new", file)
