# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON and sockets by the halves of Python's own modules that are in C.

The other halves import `re` and `enum`, which takes longer than everything else that a double does, and a run makes some
twenty calls of doubles for each look at a Mac. What other programs than doubles may have written is read with `json`.
"""

from __future__ import annotations

import _json
import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Reading:
    """What `json.JSONDecoder` says by default."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = parse_constant = float
    parse_int = int


_scan = _json.make_scanner(_Reading)  # type: ignore[arg-type]
_encode = _json.make_encoder(None, str, _json.encode_basestring_ascii, None, ": ", ", ", False, False, True)


def loads(text: str) -> Any:
    return _scan(text, 0)[0]


def dumps(value: Any) -> str:
    return "".join(_encode(value, 0))


def ask(address: str, request: Any) -> Any:
    """The answer to a request over a Unix socket, a line of JSON each."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(address)
        connection.sendall((dumps(request) + "\n").encode())
        answer = b""
        while not answer.endswith(b"\n"):
            more = connection.recv(65536)
            if not more:
                raise ConnectionError(f"{address} closed the connection after {answer!r}")
            answer += more
    finally:
        connection.close()
    return loads(answer.decode())
