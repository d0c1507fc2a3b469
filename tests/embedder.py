"""An embedder for tests: a real HTTP server that makes vectors of texts, for embedders of source `rest`."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import sqrt
from types import TracebackType
from typing import Any, Final, Self
from zlib import crc32

DIMENSIONS: Final = 8


def vector_of(text: str) -> list[float]:
    """The same text, the same vector; texts with words in common are near each other."""
    vector = [0.0] * DIMENSIONS
    for word in text.lower().split():
        code = crc32(word.encode())
        for place in range(DIMENSIONS):
            vector[place] += ((code >> (4 * place)) & 15) - 7.5
    length = sqrt(sum(part * part for part in vector)) or 1.0
    return [part / length for part in vector]


class Embedder:
    """`texts`: what was asked to be embedded, in order. `broken`: it answers 400 to everything.

    While `answering` is cleared it answers nothing, and the node that asks does none of its tasks.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.broken = False
        self.answering = threading.Event()
        self.answering.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.answering.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def settings(self, **more: Any) -> Mapping[str, Any]:
        """The parameters of an embedder that asks this server."""
        return {
            "source": "rest",
            "url": f"http://127.0.0.1:{self._server.server_address[1]}/embed",
            "dimensions": DIMENSIONS,
            "request": {"input": ["{{text}}", "{{..}}"]},
            "response": {"data": ["{{embedding}}", "{{..}}"]},
            "documentTemplate": "{{doc.title}}",
            **more,
        }

    def _handler(embedder) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the request's
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                texts = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
                embedder.texts += [text if isinstance(text, str) else text["title"] for text in texts]
                embedder.answering.wait()
                status = 400 if embedder.broken else 200
                vectors = [vector_of(text if isinstance(text, str) else text["title"]) for text in texts]
                body = json.dumps({"data": vectors} if status == 200 else {"error": "out of order"}).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler
