"""The decisions of `miroir dev` that need no process."""

from __future__ import annotations

import io
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from miroir.cli.dev import run_dev
from miroir.cli.dev_fleet import DEFAULT_PORT, DevOptions, Fleet
from miroir.cli.dev_nodes import BINARY_VARIABLE
from miroir.cli.dev_process import StartError, free_port, scratch_directory
from miroir.cli.dev_server import Keys, merged
from miroir.cli.dev_status import NodeStatus, node_requests, status_table
from miroir.cluster import Node, place, seed


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fleet looks for the program before anything else; none of these tests runs it."""
    path = tmp_path / "meilisearch"
    path.write_text("#!/bin/sh\nexit 3\n")
    path.chmod(0o755)
    monkeypatch.setenv(BINARY_VARIABLE, str(path))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (DevOptions(nodes=0), "--nodes"),
        (DevOptions(groups=0), "--groups"),
        (DevOptions(rf=0), "--rf"),
        (DevOptions(nodes=2, rf=3), "--rf 3"),
        (DevOptions(shards=0), "--shards"),
        (DevOptions(port=70_000), "--port"),
    ],
)
def test_options_that_make_no_sense(options: DevOptions, word: str) -> None:
    output = io.StringIO()
    assert run_dev(options, Console(file=output)) == 2
    assert word in output.getvalue()


def test_the_defaults_are_fine(tmp_path: Path) -> None:
    assert DevOptions().problem() is None
    fleet = Fleet(DevOptions(port=free_port(), data=tmp_path / "data"))
    fleet.release()
    placement = place(
        seed(tuple(Node(node.node_id, "", 0) for node in fleet.nodes), groups=1, replication_factor=1),
        fleet.options.shards,
    )
    assert {node: len(shards) for node, shards in placement.shards_of_node.items()} == {
        "meili-0": 4,
        "meili-1": 4,
        "meili-2": 4,
    }, "a newcomer sees an even spread"


def test_a_named_port_must_be_free_and_the_default_need_not(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        with pytest.raises(StartError, match="is taken"):
            Fleet(DevOptions(port=taken.getsockname()[1], data=tmp_path / "data"))
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", DEFAULT_PORT))
            taken.listen()
        except OSError:
            pass  # somebody else's server has it, which serves as well
        assert Fleet(DevOptions(data=tmp_path / "data")).port > DEFAULT_PORT


def test_a_kept_folder_remembers_ports_and_keys_and_is_locked(tmp_path: Path) -> None:
    options = DevOptions(port=free_port(), data=tmp_path / "data", nodes=2, groups=2)
    first = Fleet(options)
    with pytest.raises(StartError, match="another `miroir dev` uses"):
        Fleet(options)
    first.release()
    second = Fleet(options)
    assert [node.port for node in second.nodes] == [node.port for node in first.nodes]
    assert second.keys == first.keys
    assert [node.node_id for node in second.nodes] == ["meili-0", "meili-1", "meili-2", "meili-3"]
    assert (tmp_path / "data" / "dev.json").stat().st_mode & 0o077 == 0


def test_a_kept_folder_is_not_started_in_another_shape(tmp_path: Path) -> None:
    options = DevOptions(port=free_port(), data=tmp_path / "data", nodes=2, groups=2, rf=2)
    Fleet(options).release()
    for other in (replace(options, nodes=3), replace(options, groups=1), replace(options, rf=1)):
        with pytest.raises(StartError, match="data was made with --nodes 2 --groups 2 --rf 2: say the same"):
            Fleet(other)
    Fleet(replace(options, shards=24)).release()  # of new indexes


def test_a_temporary_folder_goes_with_the_fleet() -> None:
    fleet = Fleet(DevOptions(port=free_port()))
    assert fleet.directory.is_dir()
    fleet.release()
    assert not fleet.directory.exists()


def test_the_configuration_names_every_node_and_keeps_the_rest_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "miroir.yaml"
    file.write_text("miroir: {shards: 99, server: {bind: 0.0.0.0, max_body_bytes: 5}, aliases: {enabled: false}}")
    port = free_port()
    fleet = Fleet(DevOptions(port=port, data=tmp_path / "data", nodes=2, groups=2, rf=2, shards=8, config=file))
    config = fleet.server.config["miroir"]
    assert config["shards"] == 8
    assert config["replication_factor"] == 2
    assert [node["replica_group"] for node in config["nodes"]] == [0, 0, 1, 1]
    assert config["server"] == {
        "bind": "127.0.0.1",
        "port": port,
        "metrics_port": fleet.metrics_port,
        "max_body_bytes": 5,
    }
    assert config["aliases"] == {"enabled": False}


@pytest.mark.parametrize("text", ["- a list", "miroir: [", None])
def test_a_file_that_cannot_be_used(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "miroir.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(StartError, match=r"miroir\.yaml"):
        Fleet(DevOptions(port=free_port(), data=tmp_path / "data", config=file))


def test_nodes_that_do_not_start_are_told_and_leave_nothing() -> None:
    probe = scratch_directory("miroir-dev")
    probe.rmdir()
    output = io.StringIO()
    assert run_dev(DevOptions(port=free_port()), Console(file=output, width=200)) == 1
    # The first that fails ends the wait for the others; two may fail at the same moment.
    assert 1 <= output.getvalue().count("ended with status 3") <= 3
    assert "Traceback" not in output.getvalue()
    assert not list(probe.parent.glob(f"miroir-dev-{os.getpid()}-*"))


def test_merging_and_keys() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"c": 3}, "d": [2]}) == {"a": {"b": 1, "c": 3}, "d": [2]}
    assert Keys(master=None, node="n", admin="a").environment() == {
        "MIROIR_NODE_MASTER_KEY": "n",
        "MIROIR_ADMIN_API_KEY": "a",
    }


def test_requests_are_summed_over_operations() -> None:
    metrics = (
        "# TYPE miroir_node_request_duration_seconds histogram\n"
        'miroir_node_request_duration_seconds_bucket{node_id="meili-0",operation="search",le="+Inf"} 4\n'
        'miroir_node_request_duration_seconds_count{node_id="meili-0",operation="search"} 4\n'
        'miroir_node_request_duration_seconds_count{node_id="meili-0",operation="probe"} 3\n'
        'miroir_node_request_duration_seconds_count{node_id="meili-1",operation="probe"} 2\n'
    )
    assert node_requests(metrics) == {"meili-0": 7, "meili-1": 2}
    assert node_requests("") == {}


def test_the_table_shows_what_is_known() -> None:
    output = io.StringIO()
    rows = [
        NodeStatus("meili-0", "http://127.0.0.1:1", 0, "healthy", 6, 3400, 12),
        NodeStatus("meili-1", "http://127.0.0.1:2", 0, "ended", None, None, None),
    ]
    Console(file=output, width=120).print(status_table(rows))
    first, second = (line for line in output.getvalue().splitlines() if "meili-" in line)
    assert "3,400" in first
    assert "healthy" in first
    assert "ended" in second
