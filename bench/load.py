"""Putting load on a server: latency by our own generator, saturation by wrk where it is on PATH, else ours too.

wrk (https://github.com/wg/wrk) cannot scatter and takes a tenth of our generator's time for a request. So latencies, of
which a bare scatter is one, all come from the one generator, and wrk drives what is measured by CPU time.
"""

from __future__ import annotations

import base64
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.generator import Turn

_GENERATOR: Final = Path(__file__).with_name("generator.py")
_WRK: Final = shutil.which("wrk")
_SATURATING: Final = 16
_SCRIPT: Final = """
local requests, turn = %s, 0
request = function()
  turn = turn %% #requests + 1
  return requests[turn]
end
done = function(summary, latency)
  local failed = summary.errors
  print(string.format('{"count": %%d, "seconds": %%.6f, "failed": %%d}', summary.requests, summary.duration / 1e6,
    failed.status + failed.connect + failed.read + failed.write + failed.timeout))
end
"""


def saturating_tool() -> str:
    """What `saturate` drives with."""
    return "wrk" if _WRK else "our own generator (wrk is not on PATH)"


def request(method: str, path: str, key: str | None, body: Any = None) -> bytes:
    """A whole request as bytes; `body` is sent as JSON."""
    payload = b"" if body is None else json.dumps(body).encode()
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(payload)}"]
    if key:
        head.append(f"Authorization: Bearer {key}")
    if body is not None:
        head.append("Content-Type: application/json")
    return "\r\n".join([*head, "", ""]).encode() + payload


@dataclass(frozen=True, slots=True)
class Latency:
    """One timed run. Times in seconds."""

    p50: float
    p95: float
    per_second: float


def _generate(turns: Sequence[Turn], connections: int, count: int) -> tuple[list[float], float]:
    orders = {
        "turns": [[(port, base64.b64encode(each).decode()) for port, each in turn] for turn in turns],
        "connections": connections,
        "count": count,
    }
    done = subprocess.run(
        [sys.executable, str(_GENERATOR)], input=json.dumps(orders).encode(), stdout=subprocess.PIPE, check=True
    )
    seen = json.loads(done.stdout)
    return seen["times"], seen["seconds"]


def latency(turns: Sequence[Turn], connections: int, count: int) -> Latency:
    """`count` turns by that many workers at once."""
    times, seconds = _generate(turns, connections, count)
    return Latency(statistics.median(times), statistics.quantiles(times, n=20)[18], count / seconds)


def alternating(loads: Mapping[str, Sequence[Turn]], count: int) -> dict[str, list[float]]:
    """The seconds of `count` turns of each load, one turn of each after the other, so that a machine's drift is shared.

    The loads have equally many turns; the times of one place in their lists belong together.
    """
    mixed = [turn for together in zip(*loads.values(), strict=True) for turn in together]
    times, _ = _generate(mixed, 1, count * len(loads))
    return {name: times[at :: len(loads)] for at, name in enumerate(loads)}


def saturate(port: int, requests: Sequence[bytes], seconds: int) -> int:
    """Keep a server busy for about that long; how many requests it answered. All answers must be 2xx or 3xx."""
    if _WRK is None:
        turns = [[(port, each)] for each in requests]
        _, took = _generate(turns, _SATURATING, 200)
        count = max(int(seconds * 200 / took), 200)
        _generate(turns, _SATURATING, count)
        return 200 + count
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % ("{" + ",".join(_lua_text(each) for each in requests) + "}"))
        script.flush()
        done = subprocess.run(
            [_WRK, "-t1", f"-c{_SATURATING}", f"-d{seconds}s", "-s", script.name, f"http://127.0.0.1:{port}/"],
            stdout=subprocess.PIPE,
            check=True,
        )
    seen = json.loads(done.stdout.splitlines()[-1])
    if seen["failed"]:
        raise RuntimeError(f"{seen['failed']} of {seen['count']} requests failed")
    return int(seen["count"])


def _lua_text(data: bytes) -> str:
    return '"' + "".join(f"\\{byte:03d}" for byte in data) + '"'
