# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's web server, from which its Macs fetch what they would fetch from the internet.

Serves the files in the lab's `www` directory, and is an HTTP proxy to whoever asks for them at another host's address: no
other host exists in a lab. `www-faults.json` names paths that are not to be delivered as they are:
"404", "truncated" (the body ends early), "wrong" (other bytes of the same length).
"""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path
from urllib.parse import urlsplit


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD, and writes every request down."""

    protocol_version = "HTTP/1.1"
    directory: Path

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        asked = urlsplit(self.path)
        path = asked.path.lstrip("/")
        root = self.directory / "www"
        file = (root / path).resolve()
        faults = self.directory / "www-faults.json"
        fault = json.loads(faults.read_text()).get(path, "") if faults.exists() else ""
        with (self.directory / "requests.jsonl").open("a") as log:
            log.write(
                json.dumps({"from": self.client_address[0], "host": asked.netloc, "path": path, "fault": fault}) + "\n"
            )
        if fault == "404" or not file.is_relative_to(root.resolve()) or not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        if fault == "wrong":
            data = bytes(byte ^ 1 for byte in data)
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        if fault == "truncated":
            self.close_connection = True
            data = data[: len(data) // 2]
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: requests.jsonl has it."""


def start(directory: Path, address: str) -> http.server.ThreadingHTTPServer:
    """Serve at a free port of the address, in threads."""
    (directory / "www").mkdir(exist_ok=True)
    handler = type("LabHandler", (Handler,), {"directory": directory})
    server = http.server.ThreadingHTTPServer((address, 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
