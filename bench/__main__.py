"""`make bench`: everything in one run on this machine, the servers taking turns, medians of five rounds.

    make bench                      all parts
    make bench ONLY=search,cpu      some
    make bench BASE=origin/main     another revision beside this one, and a warning where this one is 20 % worse
    make bench ROUNDS=1             quick and rough

Machines drift, also within minutes: what to compare between days is the ratio. A base runs with the packages installed
here, out of a temporary worktree, over nodes of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console

from bench.added import Added
from bench.cpu import Cpu
from bench.fleet import Miroir, PlainNode
from bench.footprint import Footprint
from bench.ingest import Ingest
from bench.load import saturating_tool
from bench.parts import Bench, Part, Round
from bench.report import BASE, OURS, lines_of, markdown_of, save, table_of
from bench.searches import Searches
from bench.slow import Slow
from bench.work import Work
from miroir.cli.dev_process import scratch_directory

PARTS: Final[tuple[type[Part], ...]] = (Cpu, Added, Work, Searches, Slow, Footprint, Ingest)
ROUNDS: Final = 5
_HERE: Final = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A worktree of that revision, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="miroir-bench-base-"))
    try:
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(folder), revision], cwd=_HERE, check=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run(["git", "worktree", "prune"], cwd=_HERE, check=True)


@contextlib.contextmanager
def running(base: str | None) -> Iterator[Bench]:
    """The servers, filled; ended by their handles however this ends."""
    with contextlib.ExitStack() as stack:
        directory = scratch_directory("miroir-bench")
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        plain = PlainNode(directory)
        miroirs = [Miroir(OURS, _HERE, directory)]
        if base:
            miroirs.append(Miroir(BASE, stack.enter_context(checked_out(base)), directory))
        servers: tuple[PlainNode | Miroir, ...] = (plain, *miroirs)
        for server in servers:
            stack.callback(server.stop)
            server.start()
        yield Bench(plain, miroirs, stack)


def main() -> int:
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="make bench", description="Measure Miroir beside a plain node.")
    parser.add_argument("--only", default="", help=f"parts, with commas between: {', '.join(names)}")
    parser.add_argument("--base", default="", help="a git revision to compare with")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    wanted = [name for name in arguments.only.split(",") if name] or names
    if unknown := set(wanted) - set(names):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(names)}")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started and checked out goes, too
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    parts = [part() for part in PARTS if part.name in wanted]
    rounds: dict[str, list[Round]] = {part.name: [] for part in parts}
    with running(arguments.base or None) as bench:
        for part in parts:
            for number in range(arguments.rounds):
                console.print(f"{part.name}: round {number + 1} of {arguments.rounds}")
                rounds[part.name].append(part.round(bench))
    found = {part.name: lines_of(part, rounds[part.name]) for part in parts}
    for part in parts:
        console.print(table_of(part, found[part.name]))
    worse = [line for lines in found.values() for line in lines if line.is_worse]
    for line in worse:
        console.print(f"WARNING: {line.figure.title}: {line.to_base:.2f} times {arguments.base}")
    about = {"base": arguments.base or None, "saturated_with": saturating_tool()}
    file = save(rounds, about, "\n".join(markdown_of(part, found[part.name]) for part in parts))
    console.print(f"saturated with {saturating_tool()}; every round is in {file}, the tables beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
