"""Log lines: fields, levels, and what they never hold. Each test is a process of its own, because logging is global."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

HEAD = "import logging, structlog\nfrom miroir.telemetry import configure_logging, get_logger, log_request\n"


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


def lines(program: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(program).splitlines()]


JSON = "configure_logging('info', 'json', pod_id='pod-1')\n"


def test_a_line_has_its_fields_and_context() -> None:
    (line,) = lines(JSON + "get_logger('miroir.x').info('moved\\n', index='products', request_id='0a0b0c0d')")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "message": "moved\n",
        "target": "miroir.x",
        "request_id": "0a0b0c0d",
        "pod_id": "pod-1",
        "index": "products",
    }


def test_a_request_is_one_line() -> None:
    (line,) = lines(
        JSON + "log_request('0a0b0c0d', 'POST', '/indexes/{uid}/search', 200, 12.34567,"
        " index='products', node_count=3, estimated_hits=50, degraded='shards=3')"
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "message": "request",
        "target": "miroir.requests",
        "request_id": "0a0b0c0d",
        "pod_id": "pod-1",
        "method": "POST",
        "path_template": "/indexes/{uid}/search",
        "status": 200,
        "duration_ms": 12.346,
        "index": "products",
        "node_count": 3,
        "estimated_hits": 50,
        "degraded": "shards=3",
    }


def test_levels_are_kept_and_can_be_changed() -> None:
    program = (
        "log = get_logger('miroir.x')\n"
        "for level in ('warning', 'debug', 'error'):\n"
        "    configure_logging(level, 'json', pod_id='p')\n"
        "    for name in ('debug', 'info', 'warning', 'error'):\n"
        "        getattr(log, name)(f'{level}:{name}')\n"
        "    log_request('0', 'GET', '/', 200, 1.0)\n"
        "    logging.getLogger('lib').info('%s:lib', level)\n"
    )
    assert [line["message"] for line in lines(program)] == [
        "warning:warning",
        "warning:error",
        "debug:debug",
        "debug:info",
        "debug:warning",
        "debug:error",
        "request",
        "debug:lib",
        "error:error",
    ]


def test_what_clients_search_for_is_hidden() -> None:
    out = run(
        JSON + "get_logger('x').info('asked', q='hunter2', filter='hunter2', document={'a': 'hunter2'}, key='hunter2')"
    )
    assert "hunter2" not in out
    assert json.loads(out)["q"] == "[hidden]"


def test_lines_of_libraries_have_our_shape_and_no_urls() -> None:
    found = lines(
        JSON + "logging.getLogger('lib').warning('%d %% of %s', 5, 'x')\n"
        "logging.getLogger('httpx').info('HTTP Request: GET http://h/?q=hunter2')\n"
        "logging.getLogger('lib').log(35, 'between')\n"
        "structlog.get_logger('direct').info('too')\n"
    )
    assert [(line["target"], line["level"], line["message"]) for line in found] == [
        ("lib", "warning", "5 % of x"),
        ("lib", "warning", "between"),
        ("direct", "info", "too"),
    ]


def test_exceptions_are_one_line_with_their_traceback() -> None:
    (line, bridged) = lines(
        JSON + "try: 1 / 0\nexcept ZeroDivisionError:\n"
        "    get_logger('x').exception('broke')\n"
        "    logging.getLogger('lib').exception('broke too')\n"
    )
    assert line["level"] == bridged["level"] == "error"
    assert "ZeroDivisionError" in line["exception"]
    assert "ZeroDivisionError" in bridged["exception"]


def test_the_request_id_can_come_from_the_context() -> None:
    (line,) = lines(JSON + "structlog.contextvars.bind_contextvars(request_id='r')\nget_logger('x').info('deep')")
    assert line["request_id"] == "r"


def test_values_that_are_not_json_are_written_as_text() -> None:
    (line,) = lines(JSON + "get_logger('x').info('odd', where={1, 1}, text='a\\x1bb')")
    assert line["where"] == "{1}"
    assert line["text"] == "a\x1bb"


def test_pretty_lines_are_for_people() -> None:
    out = run(
        "configure_logging('info', 'pretty', pod_id='p')\nget_logger('x').info('hello', index='a')\n"
        "log_request('0a0b0c0d', 'GET', '/health', 200, 1.0)"
    )
    first, second = out.splitlines()
    assert "hello" in first
    assert "index=a" in first
    assert "path_template=/health" in second
    assert not out.startswith("{")


def test_auto_means_json_where_there_is_no_terminal() -> None:
    assert (
        lines("configure_logging('info', 'auto', pod_id='p')\nget_logger('x').info('hello')")[0]["message"] == "hello"
    )
