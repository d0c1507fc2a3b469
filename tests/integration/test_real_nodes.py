"""The fixtures keep their promises: nodes can be hurt and come back, and nothing outlives its handle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from miroir.cli.dev_nodes import BINARY_VARIABLE, BinaryNotFound, find_binary
from miroir.cli.dev_process import StartError, _reservations, _reserve, free_port, port_is_free, scratch_directory
from miroir.stamps import ALPHABET
from tests.client import Api, StampGuard, StampLeak, TaskFailed, wait_until
from tests.nodes import RealNode


def test_a_node_keeps_its_data_over_a_restart_and_loses_it_when_wiped(real_node: Callable[..., RealNode]) -> None:
    node = real_node()
    node.api.add_documents("books", [{"id": 1, "title": "Emma"}])

    node.kill()
    assert not node.running
    with pytest.raises(httpx.ConnectError):
        node.api.get("/health")
    node.restart()
    assert node.api.get("/indexes/books/documents/1")["title"] == "Emma"

    node.stop()
    node.wipe()
    node.restart()
    assert node.api.get("/indexes")["total"] == 0
    assert node.disturbed


def test_a_paused_node_is_silent_until_resumed(real_node: Callable[..., RealNode]) -> None:
    node = real_node()
    node.pause()
    assert not node.serving(timeout_s=0.2)
    node.resume()
    assert node.serving(timeout_s=5)


def test_a_node_asks_for_its_key(single_node: RealNode) -> None:
    stranger = single_node.api.with_key(None)
    try:
        assert stranger.request("GET", "/indexes").json()["code"] == "missing_authorization_header"
    finally:
        stranger.close()


def test_a_failed_task_fails_the_test(single_node: RealNode, index_name: str) -> None:
    with pytest.raises(TaskFailed, match="invalid_document_id") as caught:
        single_node.api.add_documents(index_name, [{"id": "not valid!"}], "id")
    assert caught.value.task["error"]["code"] == "invalid_document_id"


async def test_concurrent_calls(single_node: RealNode) -> None:
    async with single_node.api.concurrent() as client:
        assert (await client.get("/health")).json() == {"status": "available"}


def test_a_node_that_cannot_start_says_why(real_node: Callable[..., RealNode]) -> None:
    with pytest.raises(StartError, match="no-such-flag"):
        real_node(arguments=["--no-such-flag"])


def test_children_must_be_started_by_the_main_thread(real_node: Callable[..., RealNode]) -> None:
    node = real_node()
    node.stop()
    caught: list[StartError] = []

    def start() -> None:
        try:
            node.start()
        except StartError as error:
            caught.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(caught[0])
    assert not node.running


def test_a_node_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    port = free_port()
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
                import pathlib, signal
                from miroir.cli.dev_nodes import MeilisearchNode
                node = MeilisearchNode("n", port={port}, directory=pathlib.Path({str(tmp_path)!r}), master_key="k" * 20)
                node.start()
                node.wait_serving()
                print(node.pid, flush=True)
                signal.pause()
            """),
        ],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    with parent:
        assert parent.stdout is not None
        node_pid = int(parent.stdout.readline())
        assert Path("/proc", str(node_pid)).exists()
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: port_is_free(port), what="the orphan's end")


def test_ports_and_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({free_port() for _ in range(20)}) == 20

    folder = scratch_directory("miroir-fixture-test")
    stale = folder.with_name("miroir-fixture-test-4194305-abandoned")  # above the kernel's highest pid
    stale.mkdir()
    second = scratch_directory("miroir-fixture-test")
    try:
        assert folder.is_dir()
        assert str(os.getpid()) in folder.name
        assert not stale.exists()
    finally:
        folder.rmdir()
        second.rmdir()


def test_a_port_is_given_to_one_process_until_that_ends() -> None:
    code = "from miroir.cli import dev_process as d; print(d._reserve({port}), d.free_port(), flush=True); input()"
    ours = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", code.format(port=ours)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        text=True,
    ) as other:
        assert other.stdout is not None
        said = other.stdout.readline()
        assert said.startswith("False "), said
        theirs = said.split()[1]
        assert not _reserve(int(theirs))
        other.communicate("\n")
    assert _reserve(int(theirs))


def test_where_ports_cannot_be_reserved_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(StartError, match=r"cannot use .*nowhere/miroir-ports-.*: No such file"):
        _reservations.__wrapped__()


def test_the_named_binary_wins_and_must_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "meilisearch"
    monkeypatch.setenv(BINARY_VARIABLE, str(program))
    with pytest.raises(BinaryNotFound, match=BINARY_VARIABLE):
        find_binary()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_binary() == program


@pytest.mark.parametrize(
    ("body", "leaks"),
    [
        ({"hits": [{"id": 1, "miroir": "_miroir"}], "path": "/_miroir/topology", "code": "miroir_no_quorum"}, False),
        ({"indexUid": "test_miroir_index", "miroir_task_id": 3}, False),
        ({"hits": [{"id": 1, "_miroir_shard": "x"}]}, True),
        ({"message": "Available filterable attributes: `_miroir_seq`"}, True),
        ({"message": "`_miroir_seq` is reserved", "code": "miroir_reserved_field"}, False),
        ({"hits": [{"id": 1, "title": ALPHABET[3]}]}, True),
        ({"hits": [{"id": 1, "title": "| · — 3"}]}, False),
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_guard_finds_stamps(body: object, leaks: bool, ascii_only: bool) -> None:
    response = httpx.Response(
        200,
        headers={"content-type": "application/json"},
        text=json.dumps(body, ensure_ascii=ascii_only),
        request=httpx.Request("GET", "http://127.0.0.1/"),
    )
    guard = StampGuard()
    if leaks:
        with pytest.raises(StampLeak):
            guard.check(response)
    else:
        guard.check(response)
    guard.active = False
    guard.check(response)


def test_the_guard_looks_at_every_answer(single_node: RealNode, index_name: str) -> None:
    """A node with a stamp in a document stands in for a Miroir that forgot to strip it."""
    single_node.api.add_documents(index_name, [{"id": 1, "_miroir_shard": "x"}])
    guarded = Api(single_node.address, single_node.master_key, StampGuard())
    try:
        guarded.get("/health")
        with pytest.raises(StampLeak):
            guarded.search(index_name)
    finally:
        guarded.close()
