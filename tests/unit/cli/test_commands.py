"""`miroir` and `miroir-ctl` as processes: what they print, where, and how they exit."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from miroir import __version__
from miroir.cli.credentials import VARIABLE, CredentialsError, find_credentials
from miroir.cli.ctl_tables import status_tables
from miroir.config import Config

TOPOLOGY = {
    "shards": 16,
    "replication_factor": 2,
    "replica_groups": 1,
    "indexes": 1,
    "total_shards": 16,
    "degraded_shards": 16,
    "uncovered_shards": 3,
    "fully_covered": False,
    "degraded_node_count": 1,
    "rebalance_in_progress": False,
    "nodes": [
        {"id": "n0", "address": "http://n0:7700", "replica_group": 0, "status": "healthy", "shard_count": 16,
         "last_seen_ms": 1500},
        {"id": "n1", "address": "http://n1:7700", "replica_group": 0, "status": "failed", "shard_count": 16,
         "last_seen_ms": None, "error": "connection refused"},
    ],
}  # fmt: skip
SHARDS = {
    "index": "products",
    "shards": [{"shard": 3, "groups": [{"replica_group": 0, "write_owners": ["n0", "n1"], "read_owners": []}]}],
}

BAD_DUMP = {"message": "This is not a dump: it cannot be unpacked.", "code": "miroir_dump_invalid"}
IMPORTS = {
    id: {"id": id, "state": state, "phase": phase, "pct_complete": 0.0, "documents": 0, "indexes": {}, "remarks": [],
         **more}
    for id, state, phase, more in (
        ("one", "failed", "reading", {"error": BAD_DUMP}),
        ("two", "completed", "done", {}),
        ("three", "canceled", "documents", {}),
    )
}  # fmt: skip


def run(command: str, *arguments: str, home: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIROIR_")}
    return subprocess.run(
        [sys.executable, "-c", f"from miroir.cli.{command} import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**kept, "HOME": str(home), "COLUMNS": "160", "NO_COLOR": "1", **environ},
    )


# miroir


def test_version_and_usage(tmp_path: Path) -> None:
    done = run("main", "--version", home=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"miroir {__version__}\n")
    assert run("main", "no-such-command", home=tmp_path).returncode == 2
    assert run("main", "dev", "--nodes", "0", home=tmp_path).returncode == 2
    assert run("main", "serve", "--no-such-option", home=tmp_path).returncode == 2


def test_check_says_fine_or_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "miroir.yaml"
    file.write_text("miroir: {nodes: [{id: n0, address: 'http://n0:7700'}]}\n")
    keys = {"MIROIR_MASTER_KEY": "a-master-key", "MIROIR_ADMIN_API_KEY": "an-admin-key"}
    done = run("main", "config", "check", str(file), home=tmp_path, **keys)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{file}: fine\n", "")
    file.write_text("miroir:\n  shards: 0\n  server: {prot: 1}\n")
    done = run("main", "config", "check", str(file), "--set", "logging.level=[bold]", home=tmp_path, MIROIR_A__B="1")
    assert (done.returncode, done.stdout) == (1, "")
    for part in ("4 problems", f"{file}:2", "server.prot", "`server.port`", "MIROIR_A__B", "`[bold]`"):
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    file.write_text("miroir:\n  server: {workers: 2}\n  task_store: {backend: redis, url: redis://localhost}\n")
    done = run("main", "config", "check", str(file), home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "use sqlite" in done.stderr
    assert "use 1" in done.stderr


def test_check_says_what_the_start_would_say(tmp_path: Path) -> None:
    file = tmp_path / "miroir.yaml"
    file.write_text("")
    done = run("main", "config", "check", str(file), home=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    no_nodes = "No nodes are configured. Name at least one under `miroir.nodes` in the configuration file."
    assert f"{file}: {no_nodes}" in done.stderr.splitlines()
    served = run("main", "serve", "--config", str(file), home=tmp_path, MIROIR_LOGGING__FORMAT="json")
    (line,) = map(json.loads, served.stdout.splitlines())
    assert (served.returncode, line["reason"]) == (1, no_nodes)
    file.write_text("miroir: {nodes: [{id: n0, address: 'http://n0:7700'}], hedging: {enabled: false}}\n")
    done = run("main", "config", "check", str(file), home=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{file}: fine\n")
    assert done.stderr.splitlines() == [
        f"{file}: warning: configured in vain: not built yet (keys hedging)",
        f"{file}: warning: no master key: the data plane stands open to everybody (set MIROIR_MASTER_KEY)",
        f"{file}: warning: no admin key: /_miroir stays shut (set MIROIR_ADMIN_API_KEY)",
    ]
    same = {"MIROIR_MASTER_KEY": "one-key", "MIROIR_ADMIN_API_KEY": "one-key"}
    done = run("main", "config", "check", str(file), home=tmp_path, **same)
    assert (done.returncode, done.stdout) == (1, "")
    assert "holds the same key as MIROIR_MASTER_KEY" in done.stderr


def test_show_prints_a_file_that_can_be_used(tmp_path: Path) -> None:
    environ = {"MIROIR_MASTER_KEY": "hunter2", "MIROIR_SHARDS": "9"}
    done = run("main", "config", "show", "--set", "server.port=7800", home=tmp_path, **environ)
    assert done.returncode == 0
    shown = Config.model_validate(yaml.safe_load(done.stdout)["miroir"])
    assert (shown.shards, shown.server.port) == (9, 7800)
    assert "hunter2" not in done.stdout
    assert "MIROIR_MASTER_KEY: set\n" in done.stdout
    assert "MIROIR_ADMIN_API_KEY: unset\n" in done.stdout
    as_json = json.loads(run("main", "config", "show", "--json", home=tmp_path, **environ).stdout)
    assert as_json["miroir"]["shards"] == 9
    assert as_json["secrets"]["MIROIR_MASTER_KEY"] == "set"


def test_serve_refuses_before_it_starts_anything(tmp_path: Path) -> None:
    done = run("main", "serve", "--set", "server.port=0x1", home=tmp_path)
    assert done.returncode == 1
    assert "server.port" in done.stderr
    done = run("main", "serve", "--set", "search_ui.enabled=true", home=tmp_path)
    assert done.returncode == 1
    assert "SEARCH_UI_JWT_SECRET" in done.stderr
    done = run("main", "serve", home=tmp_path, MIROIR_MASTER_KEY="hunter2 hunter2")
    assert done.returncode == 1
    assert "hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("bind", "knob", "says"),
    [
        ("127.0.0.1", "port", "Stop what listens there, or set another server.port."),
        ("127.0.0.1", "metrics_port", "Stop what listens there, or set another server.metrics_port."),
        ("no-such-host.invalid", "port", "Set server.bind to an address of this machine"),
    ],
)
def test_serve_says_which_address_it_cannot_have_and_what_to_do(
    tmp_path: Path, bind: str, knob: str, says: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = {
            "nodes": [{"id": "n0", "address": "http://127.0.0.1:1"}],
            "server": {"bind": bind, "port": 0, "metrics_port": 0, knob: port},
            "task_store": {"path": str(tmp_path / "miroir.db")},
            "logging": {"format": "json"},
        }
        file = tmp_path / "miroir.yaml"
        file.write_text(yaml.safe_dump({"miroir": config}))
        done = run(
            "main", "serve", "--config", str(file), home=tmp_path, MIROIR_NODE_MASTER_KEY="a-node-key-0123456789"
        )
    (line,) = (line for line in (done.stdout + done.stderr).splitlines() if "cannot start" in line)
    reason = json.loads(line)["reason"]
    assert done.returncode == 1
    assert reason.startswith(f"Cannot listen on {bind}:{port} (server.{knob}): ")
    assert says in reason
    assert not (tmp_path / "miroir.db").exists(), "the store is another's"


# miroir-ctl


class Admin(BaseHTTPRequestHandler):
    """An admin API with fixed answers: what is tested here is the client."""

    def do_GET(self) -> None:
        if self.headers["authorization"] != "Bearer right":
            body: Any = {"message": "The admin key is wrong.", "code": "miroir_invalid_auth"}
            status = 401
        elif self.path == "/_miroir/topology":
            status, body = 200, TOPOLOGY
        elif self.path == "/_miroir/dumps/import":
            status, body = 200, {"results": list(IMPORTS.values())}
        elif self.path.removeprefix("/_miroir/dumps/import/").removesuffix("/status") in IMPORTS:
            status, body = 200, IMPORTS[self.path.split("/")[-2]]
        elif self.path == "/_miroir/shards?index=products":
            status, body = 200, SHARDS
        else:
            status, body = 404, None
        text = b"<html>" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Admin)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def credentials(home: Path, text: str) -> None:
    file = home / ".config" / "miroir" / "credentials"
    file.parent.mkdir(parents=True)
    file.write_text(text)


def test_status_is_a_table_or_what_the_api_said(tmp_path: Path, url: str) -> None:
    environ = {"MIROIR_URL": url, "MIROIR_ADMIN_API_KEY": "ops:right,ann:other"}
    done = run("ctl", "status", home=tmp_path, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()] == [
        line.split()
        for line in (
            "fully covered  no: 3 shards cannot be read",
            "indexes        1, of 16 shards together, 16 of them short of copies",
            "a new index    16 shards, 2 copies of each in 1 replica group",
            "nodes          2, 1 not healthy",
            "rebalance      none",
            "node  group  status   copies  last seen  address",
            "n0    0      healthy  16      1.5 s ago  http://n0:7700",
            "n1    0      failed   16      never      http://n1:7700",
            "n1: connection refused",
        )
    ]
    assert json.loads(run("ctl", "status", "--json", home=tmp_path, **environ).stdout) == TOPOLOGY


def test_rows_are_never_cut(tmp_path: Path, url: str) -> None:
    """By eighty columns, which is also what a pipe counts as."""
    for command in (("status",), ("dump", "status")):
        wide, narrow = (
            run("ctl", "--url", url, "--admin-key", "right", *command, home=tmp_path, COLUMNS=columns)
            for columns in ("160", "40")
        )
        assert (narrow.returncode, narrow.stdout) == (0, wide.stdout)


def test_how_things_stand_is_told_in_units_that_fit() -> None:
    def told(**topology: Any) -> str:
        console = Console(file=io.StringIO(), width=200)
        for each in status_tables(topology):
            console.print(each)
        return " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]  # it is a StringIO

    nothing = told(indexes=0, total_shards=64, degraded_shards=64, uncovered_shards=64, shards=64, fully_covered=False)
    assert "fully covered no: a new index would be without 64 shards" in nothing
    assert "indexes 0" in nothing
    assert "short of copies" not in nothing
    well = told(indexes=2, total_shards=1, degraded_shards=0, fully_covered=True, degraded_node_count=0)
    assert "fully covered yes indexes 2, of 1 shard together, all with every copy" in well
    assert "nodes 0, all healthy" in well
    assert "a new index - shards, - copies of each in - replica groups" in told(), "of an older server"
    seen = [told(nodes=[{"id": "n", "last_seen_ms": ms}]) for ms in (400, 119_000, 120_000, 7_200_000, 400_000_000)]
    for text, age in zip(seen, ("0.4 s", "119.0 s", "2 min", "2 h", "5 d"), strict=True):
        assert f" {age} ago" in text


def test_shards_names_owners_and_where_there_are_none(tmp_path: Path, url: str) -> None:
    credentials(tmp_path, 'admin_key = "right"\n')
    done = run("ctl", "--url", url, "shards", "products", home=tmp_path)
    assert done.returncode == 0
    assert ["3", "0", "n0,", "n1", "none"] in [line.split() for line in done.stdout.splitlines()]
    as_json = run("ctl", "--url", url, "shards", "products", "--json", home=tmp_path)
    assert json.loads(as_json.stdout) == SHARDS


@pytest.fixture
def file_of_keys(tmp_path: Path) -> Path:
    credentials(tmp_path, 'admin_key = "of-the-file"\n')
    return tmp_path / ".config/miroir/credentials"


def found_key(home: Path, option: str | None, **environ: str) -> tuple[str, str]:
    found = find_credentials(environ=environ, home=home, option=option)
    return found.source, found.admin_key


def test_the_key_is_that_of_the_option_then_the_environment_then_the_file(tmp_path: Path, file_of_keys: Path) -> None:
    environ = {VARIABLE: "of-the-environment"}
    assert found_key(tmp_path, "typed", **environ) == ("--admin-key", "typed")
    assert found_key(tmp_path, None, **environ) == (VARIABLE, "of-the-environment")
    assert found_key(tmp_path, None, **{VARIABLE: ""}) == (str(file_of_keys), "of-the-file")
    file_of_keys.write_text("no TOML")
    assert found_key(tmp_path, "typed", **environ) == ("--admin-key", "typed"), "what is not needed is not read"


@pytest.mark.parametrize("typed", ["", "hunter2 hunter2"])
def test_no_other_key_is_sent_for_one_that_was_typed_wrong(tmp_path: Path, file_of_keys: Path, typed: str) -> None:
    with pytest.raises(CredentialsError, match="--admin-key") as refused:
        found_key(tmp_path, typed, **{VARIABLE: "of-the-environment"})
    assert "hunter2" not in str(refused.value)


def test_what_is_typed_goes_before_the_environment(tmp_path: Path, url: str) -> None:
    typed = ("--url", url, "--admin-key", "right")
    environ = {"MIROIR_URL": "http://127.0.0.1:1", "MIROIR_ADMIN_API_KEY": "wrong"}
    done = run("ctl", *typed, "status", "--json", home=tmp_path, **environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == TOPOLOGY
    shown = run("ctl", *typed, "config", "--json", home=tmp_path, **environ)
    assert json.loads(shown.stdout) == {"url": url, "admin_key_from": "--admin-key"}


def test_what_asks_nobody_needs_no_key(tmp_path: Path) -> None:
    shown = run("ctl", "config", home=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "admin key from: nowhere (no admin key: give --admin-key, or set MIROIR_ADMIN_API_KEY" in shown.stdout
    as_json = json.loads(run("ctl", "config", "--json", home=tmp_path).stdout)
    assert as_json == {"url": "http://127.0.0.1:7700", "admin_key_from": None}
    wrong = run("ctl", "--admin-key", "", "config", home=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (2, "miroir-ctl: the key from --admin-key is empty\n")


def test_why_an_import_failed_is_said_wherever_it_is_shown(tmp_path: Path, url: str) -> None:
    typed = ("--url", url, "--admin-key", "right", "dump", "status")
    why = "This is not a dump: it cannot be unpacked. (miroir_dump_invalid)"
    every = run("ctl", *typed, home=tmp_path)
    assert (every.returncode, every.stderr) == (0, "")
    assert every.stdout.splitlines()[-1:] == [f"one: {why}"]
    assert every.stdout.count("miroir_") == 1, "the others have not failed"
    one = run("ctl", *typed, "one", home=tmp_path)
    assert (one.returncode, one.stderr) == (1, f"miroir-ctl: {why}\n")
    watched = run("ctl", *typed, "one", "--watch", "--json", home=tmp_path)
    assert (watched.returncode, json.loads(watched.stdout)) == (1, IMPORTS["one"])
    assert watched.stderr.endswith(f"miroir-ctl: {why}\n")
    two = run("ctl", *typed, "two", home=tmp_path)
    assert (two.returncode, two.stdout) == (0, "import two: completed, 0 documents\n")


@pytest.mark.parametrize("text", ["hunter2", "admin_key = 7", "[x]\n", 'admin_key = "hunter2 hunter2"'])
def test_a_credentials_file_that_is_wrong_is_named_and_not_shown(tmp_path: Path, text: str) -> None:
    credentials(tmp_path, text)
    done = run("ctl", "status", home=tmp_path)
    assert done.returncode == 2
    assert "credentials" in done.stderr
    assert "hunter2" not in done.stderr


def test_failures_are_one_sentence(tmp_path: Path, url: str) -> None:
    right, wrong = {"MIROIR_ADMIN_API_KEY": "right"}, {"MIROIR_ADMIN_API_KEY": "wrong"}
    for arguments, environ, code, text in (
        (("status",), {}, 2, "no admin key"),
        (("--url", url, "status"), wrong, 1, "The admin key is wrong. (miroir_invalid_auth)"),
        (("--url", "http://127.0.0.1:1", "status"), right, 1, "cannot reach http://127.0.0.1:1"),
        (("--url", "nonsense", "status"), right, 1, "cannot reach nonsense"),
        (("--url", url, "shards", "odd"), right, 1, "without JSON: is it Miroir?"),
        (("reboot",), right, 2, "No such command"),
    ):
        done = run("ctl", *arguments, home=tmp_path, **environ)
        assert (done.returncode, done.stdout) == (code, "")
        assert text in done.stderr
        assert "Traceback" not in done.stderr
