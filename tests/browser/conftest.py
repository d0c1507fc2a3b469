"""A real browser, and a web server of another origin than Miroir's for its pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

PAGES = Path(__file__).parent
CLIENT = PAGES.parents[1] / "examples" / "sdk-tests" / "javascript"
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",  # a sandbox cannot be made by root in a container
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
INSTALL_S = 300


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium: `MIROIR_CHROMIUM`, or one on PATH."""
    program = os.environ.get("MIROIR_CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine: build/browser installs one")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        try:
            yield running
        finally:
            running.close()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nobody wants to know."""


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the pages are served with the client beside them. `localhost`, for Miroir is at 127.0.0.1."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not on this machine")
    folder = tmp_path_factory.mktemp("pages")
    installing = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    client = tmp_path_factory.mktemp("client")  # of its own: another test installs it where its program stands
    for name in ("package.json", "package-lock.json"):
        shutil.copy(CLIENT / name, client / name)
    subprocess.run(installing, cwd=client, check=True, timeout=INSTALL_S)
    shutil.copy(client / "node_modules" / "meilisearch" / "dist" / "esm" / "index.js", folder / "meilisearch.mjs")
    for name in ("page.html", "page.mjs"):
        shutil.copy(PAGES / name, folder / name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
