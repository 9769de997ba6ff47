"""Does with RouterOS-api what every client of the interop test does, and prints what it saw as JSON.

Usage: drive_routeros_api.py PORT USER PASSWORD
"""

import json
import sys

from routeros_api import RouterOsApiPool
from routeros_api.exceptions import RouterOsApiCommunicationError
from routeros_api.query import IsEqualQuery, OrQuery

from odd_rows import ODD_ROWS, shown


def log_in(port, user, password):
    pool = RouterOsApiPool("127.0.0.1", user, password, port=port, plaintext_login=True)
    pool.set_timeout(30)
    return pool.get_api()


def rows(secrets):
    found = secrets.call("print", {".proplist": b"name,comment,profile"})
    return shown([tuple(row.get(name, b"") for name in ("name", "comment", "profile")) for row in found])


def refusal(act):
    try:
        act()
    except RouterOsApiCommunicationError as error:
        return error.original_message.decode()
    return None


def main():
    port, user, password = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    seen = {"refused": refusal(lambda: log_in(port, user, password + "x"))}
    api = log_in(port, user, password)
    secrets = api.get_binary_resource("/ppp/secret")
    (identity,) = api.get_binary_resource("/system/identity").get()
    seen["identity"] = identity["name"].hex()
    seen["before"] = rows(secrets)

    def add(name, comment):
        values = {"name": name, "comment": comment, "password": b"w", "service": b"pppoe", "profile": b"default"}
        return secrets.call("add", values).done_message["ret"]

    ids = {name: add(name, comment) for name, comment in ODD_ROWS}
    secrets.call("set", {".id": ids[b"007"], "profile": b"default-encryption"})
    query = OrQuery(IsEqualQuery("name", "007"), IsEqualQuery("name", "a>b"))
    either = secrets.call("print", {".proplist": b"name"}, additional_queries=(query,))
    seen["either"] = sorted(row["name"].hex() for row in either)
    nobody = (IsEqualQuery("name", "nobody"),)
    seen["none"] = len(secrets.call("print", {".proplist": b".id,name"}, additional_queries=nobody))

    # Rows of a listen come one by one; what is asked meanwhile has a tag of its own.
    changes = iter(secrets.call_async("listen", {".proplist": b".id,name"}))
    secrets.call("set", {".id": ids[b"gone"], "comment": b"heard"})
    seen["listened"] = next(changes)["name"].hex()
    secrets.call("remove", {".id": ids[b"gone"]})
    seen["gone"] = refusal(lambda: secrets.call("remove", {".id": ids[b"gone"]}))
    seen["double"] = refusal(lambda: add(b"007", b""))
    seen["after"] = rows(secrets)

    # Two commands at a time, and the answer of the second is taken first.
    first = api.get_binary_resource("/system/identity").call_async("print")
    second = secrets.call_async("print", {".proplist": b"name"})
    seen["interleaved"] = len(second.get()) == len(seen["after"]) and first.get()[0] == identity
    print(json.dumps(seen))


main()
