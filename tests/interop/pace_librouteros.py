"""How fast librouteros prints PPP secrets and changes their profile, as one line of JSON.

Usage: pace_librouteros.py PORT print|changes PROPLIST COUNT

Time is taken in here, from the command to the last row or answer; connecting and logging in are not counted.
"""

import json
import sys
import time

from librouteros import connect
from librouteros.query import Key


def main():
    port, what, proplist, count = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    # The rows have comments that are no ASCII, which is its default.
    api = connect("127.0.0.1", "admin", "", port=port, encoding="latin-1", timeout=60)
    secrets = api.path("ppp", "secret")
    keys = [Key(name) for name in proplist.split(",")]
    begun = time.perf_counter()
    rows = list(secrets.select(*keys))
    printed = time.perf_counter() - begun
    if what == "print":
        print(json.dumps({"done": len(rows), "seconds": printed}))
        return
    begun = time.perf_counter()
    for number, row in enumerate(rows[:count]):
        secrets.update(**{".id": row[".id"], "profile": "default-encryption" if number % 2 == 0 else "default"})
    changed = time.perf_counter() - begun
    print(json.dumps({"done": min(count, len(rows)), "seconds": changed}))


main()
