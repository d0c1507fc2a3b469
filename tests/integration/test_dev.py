"""`miroir dev` as a user runs it: as a process, on a terminal and without one, ended in every way."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from miroir.cli.dev_process import free_port, leashed, port_is_free
from miroir.cli.dev_server import miroir_command
from tests.client import Api, wait_until

_ROOT = Path(__file__).parents[2]
_KEY = "a-master-key-for-the-test"


def _children(pid: int) -> set[int]:
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        found |= {int(child) for child in (task / "children").read_text().split()}
    return found


@contextmanager
def _dev(tmp_path: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Path, int]]:
    """`miroir dev` on a free port with its output in a file, killed at the end if need be."""
    port = free_port()
    output = tmp_path / "output.txt"
    command = miroir_command("dev", "--port", str(port), "--master-key", _KEY, *arguments)
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, cwd=_ROOT)
    try:
        yield process, output, port
    finally:
        process.kill()
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], output: Path, text: str, timeout_s: float = 60) -> str:
    def seen() -> bool:
        assert process.poll() is None, output.read_text()
        return text in output.read_text()

    wait_until(seen, timeout_s, f"{text!r} in the output")
    return output.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_and_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    with _dev(tmp_path, "--nodes", "2", "--shards", "4") as (process, output, port):
        text = _wait_for(process, output, "takes everything down")
        assert f"http://127.0.0.1:{port}" in text
        assert _KEY in text
        folder = Path(re.findall(r"^  data +(\S+)", text, re.MULTILINE)[0])
        assert folder.is_dir()
        client = Api(f"http://127.0.0.1:{port}", _KEY)
        client.add_documents("books", [{"id": 1, "title": "Emma"}])
        assert [hit["id"] for hit in client.search("books", "emma")["hits"]] == [1]
        client.close()
        children = _children(process.pid)
        assert len(children) == 3

        process.send_signal(number)
        assert process.wait(30) == 0, output.read_text()
        assert "Traceback" not in output.read_text()
        assert not folder.exists()
        assert not [child for child in children if Path("/proc", str(child)).exists()]
        assert port_is_free(port)


def test_killed_it_takes_its_children_along(tmp_path: Path) -> None:
    with _dev(tmp_path, "--nodes", "1", "--data", str(tmp_path / "data")) as (process, output, port):
        _wait_for(process, output, "takes everything down")
        children = _children(process.pid)
        process.kill()
        process.wait()
        wait_until(lambda: not [c for c in children if Path("/proc", str(c)).exists()], what="the children's end")
        assert port_is_free(port)


def test_kept_data_is_there_the_next_time(tmp_path: Path) -> None:
    for run in range(2):
        with _dev(tmp_path, "--nodes", "2", "--data", str(tmp_path / "data")) as (process, output, port):
            _wait_for(process, output, "takes everything down")
            client = Api(f"http://127.0.0.1:{port}", _KEY)
            if run == 0:
                client.add_documents("books", [{"id": number, "title": "Emma"} for number in range(20)])
            assert client.search("books", "emma")["estimatedTotalHits"] == 20
            client.close()
            process.terminate()
            assert process.wait(30) == 0


def test_it_ends_when_miroir_ends_and_says_so(tmp_path: Path) -> None:
    with _dev(tmp_path, "--nodes", "1") as (process, output, _):
        _wait_for(process, output, "takes everything down")
        children = _children(process.pid)
        server = next(c for c in children if b"serve" in Path(f"/proc/{c}/cmdline").read_bytes())
        os.kill(server, signal.SIGKILL)
        assert process.wait(30) == 1
        assert "Miroir ended with status -9" in output.read_text()
        assert not [child for child in children if Path("/proc", str(child)).exists()]


def test_the_demo_shows_one_search_and_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "miroir.cli.dev_demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        cwd=_ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Search "quiet lamp"' in done.stdout
    assert len(re.findall(r"^ +\d+  .* EUR ", done.stdout, re.MULTILINE)) == 5
    assert "curl -s http://127.0.0.1:" in done.stdout
    folder = Path(re.findall(r"^  data +(\S+)", done.stdout, re.MULTILINE)[0])
    assert not folder.exists()


def test_the_status_on_a_terminal_follows_the_nodes(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    port = free_port()
    process = subprocess.Popen(
        miroir_command("dev", "--nodes", "2", "--port", str(port), "--master-key", _KEY),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=_ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
        start_new_session=True,
    )
    os.close(slave)
    os.set_blocking(master, False)
    screen = bytearray()

    def shows(pattern: str) -> bool:
        assert process.poll() is None, screen.decode("utf-8", "replace")
        with suppress(BlockingIOError):
            screen.extend(os.read(master, 65_536))
        return re.search(pattern, screen.decode("utf-8", "replace")) is not None

    try:
        wait_until(lambda: shows(r"meili-1.*healthy"), 60, "a healthy node on the screen")
        documents = [{"id": number} for number in range(1234)]
        client = Api(f"http://127.0.0.1:{port}", _KEY)
        client.add_documents("things", documents, "id")
        client.close()
        screen.clear()
        wait_until(lambda: shows(r"meili-0.*healthy.*│ +\d+ │ +(1,)?\d{3} │"), 30, "the documents on the screen")
        node = next(c for c in _children(process.pid) if b"meili-1" in Path(f"/proc/{c}/cmdline").read_bytes())
        command, environment = (
            os.fsdecode(Path(f"/proc/{node}/{what}").read_bytes()).rstrip("\0").split("\0")
            for what in ("cmdline", "environ")
        )
        os.kill(node, signal.SIGKILL)
        screen.clear()
        wait_until(lambda: shows(r"meili-1.*ended"), 30, "the dead node on the screen")
        again = subprocess.Popen(
            leashed(command),
            env=dict(pair.split("=", 1) for pair in environment),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            screen.clear()
            wait_until(lambda: shows(r"meili-1.*healthy"), 30, "the node that was started by hand on the screen")
        finally:
            again.kill()
            again.wait()
        process.send_signal(signal.SIGINT)
        wait_until(lambda: process.poll() is not None or _drain(master), 30, "the end")
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)


def _drain(master: int) -> bool:
    """Keep the terminal's buffer from filling; never the condition itself."""
    with suppress(OSError):
        os.read(master, 65_536)
    return False
