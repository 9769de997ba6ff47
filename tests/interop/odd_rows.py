"""The rows that every client of the interop test writes: names and comments as bytes.

The Rust side has the same list, and compares what each client saw with it.
"""

ODD_ROWS = [
    (b"007", b"leading zeros"),
    (b"a>b", b"x=y=z"),
    ("käse".encode(), "café π".encode()),
    (b"x logged out, 1 2 3 4 5", b"two\r\nlines"),
    (b"no text", b"caf\xe9 \xff"),
    (b"nothing", b""),
    (b"gone", b"for a moment"),
]


def shown(rows):
    """Rows of bytes as hexadecimal digits, sorted."""
    return sorted([value.hex() for value in row] for row in rows)
