"""JSON documents of a wanted size that look like the answer of a query API."""

from __future__ import annotations

from typing import Final

COLUMNS: Final = b'{"columns":["id","code","name","price","open"],"rows":['


def json_document(size: int, word: str) -> bytes:
    """A document of exactly `size` bytes (at least 100): rows of a number, a code, a name, a price and a flag."""
    rows: list[bytes] = []
    left = size - len(COLUMNS) - len(b'],"note":""}')
    while True:
        number = len(rows)
        flag = "true" if number % 2 else "false"
        row = f'[{number},"K{number % 1000:03d}","{word} {number}",{number + 0.25},{flag}]'.encode()
        if len(row) + 1 > left:
            return COLUMNS + b",".join(rows) + b'],"note":"' + b"x" * (left + bool(rows)) + b'"}'
        rows.append(row)
        left -= len(row) + 1
