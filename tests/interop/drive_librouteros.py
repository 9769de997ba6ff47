"""Does with librouteros what every client of the interop test does, and prints what it saw as JSON.

Usage: drive_librouteros.py PORT USER PASSWORD

Bytes are passed through as Latin-1, which maps each to one character and back.
"""

import json
import sys

from librouteros import connect
from librouteros.exceptions import TrapError
from librouteros.query import Key, Or

from odd_rows import ODD_ROWS, shown

NAME, COMMENT, PROFILE, ID = Key("name"), Key("comment"), Key("profile"), Key(".id")


def text(value):
    return value.decode("latin-1")


def binary(value):
    return str(value).encode("latin-1")


def log_in(port, user, password):
    return connect("127.0.0.1", user, text(password.encode()), port=port, encoding="latin-1", timeout=30)


def rows(secrets):
    found = ((row.get(str(key), "") for key in (NAME, COMMENT, PROFILE)) for row in secrets.select(NAME, COMMENT, PROFILE))
    return shown([tuple(binary(value) for value in row) for row in found])


def refusal(act):
    try:
        act()
    except TrapError as error:
        return error.message
    return None


def main():
    port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    seen = {"refused": refusal(lambda: log_in(port, user, password + "x"))}
    api = log_in(port, user, password)
    secrets = api.path("ppp", "secret")
    (identity,) = api.path("system", "identity")
    seen["identity"] = binary(identity["name"]).hex()
    seen["before"] = rows(secrets)

    def add(name, comment):
        return secrets.add(name=text(name), comment=text(comment), password="w", service="pppoe", profile="default")

    ids = {name: add(name, comment) for name, comment in ODD_ROWS}
    secrets.update(**{".id": ids[b"007"], "profile": "default-encryption"})
    either = secrets.select(NAME).where(Or(NAME == "007", NAME == "a>b"))
    seen["either"] = sorted(binary(row["name"]).hex() for row in either)
    seen["none"] = len(list(secrets.select(ID, NAME).where(NAME == "nobody")))
    secrets.remove(ids[b"gone"])
    seen["gone"] = refusal(lambda: secrets.remove(ids[b"gone"]))
    seen["double"] = refusal(lambda: add(b"007", b""))
    seen["after"] = rows(secrets)
    # It has no tags, and reads every answer to its end, which a listen does not have.
    seen["interleaved"], seen["listened"] = None, None
    api.close()
    print(json.dumps(seen))


main()
