"""`python -m tests.compat --left URL --right URL`: compare any two servers that speak Meilisearch's API.

Both are loaded with the same generated indexes (their names begin with --prefix, and they are replaced), then asked the
same generated searches, then the same wrong requests over all routes, and a generated sequence of calls on indexes,
documents, settings, tasks and keys. Last the official clients' programs are run against the right one. The shares of
what was equal and of what passed stand at the end. Exit status 1 when an answer differs in what it must not, or a
program failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import chain
from pathlib import Path

from rich.console import Console

from tests.client import Api
from tests.compat.calls import Sequences
from tests.compat.cases import cases
from tests.compat.clients import try_all
from tests.compat.corpus import corpus
from tests.compat.errors import Asker, Parity, compare
from tests.compat.federated import federated_cases
from tests.compat.play import Played, Player, play
from tests.compat.refusals import refusals
from tests.compat.report import Report
from tests.compat.run import Comparison, Side
from tests.compat.shares import Shares


def main() -> int:
    """Run it; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description=__doc__)
    parser.add_argument("--left", required=True, metavar="URL", help="the one that is right: a plain node")
    parser.add_argument("--right", required=True, metavar="URL", help="the one that is compared with it")
    parser.add_argument("--left-key", metavar="KEY", help="a key that may do everything")
    parser.add_argument("--right-key", metavar="KEY")
    parser.add_argument("--seed", type=int, default=1, help="other seeds ask other things (default 1)")
    parser.add_argument("--queries", type=int, default=1000, help="how many requests (default 1000)")
    parser.add_argument("--federated", type=int, default=100, help="how many federated searches more (default 100)")
    parser.add_argument("--calls", type=int, default=200, help="how many calls the sequence has (default 200)")
    parser.add_argument("--documents", type=int, default=1200, help="how many documents an index has (default 1200)")
    parser.add_argument("--limit", type=int, help="the limit of searches that name none")
    parser.add_argument("--prefix", default="compat", help="what the indexes' names begin with")
    parser.add_argument("--loaded", action="store_true", help="the indexes are there from an earlier run: do not load")
    parser.add_argument("--keep", action="store_true", help="leave the indexes there")
    parser.add_argument("--format", choices=("table", "json", "markdown"), default="table")
    args = parser.parse_args()
    documents = corpus(args.documents, 1)
    left = Side(Api(args.left, args.left_key), args.prefix)
    right = Side(Api(args.right, args.right_key), args.prefix)
    if not args.loaded:
        left.load(documents)
        right.load(documents)
    asked = cases(args.seed, args.queries, documents, limit=args.limit)
    federated = federated_cases(args.seed, args.federated, documents)
    report = Report.of(Comparison(left, right, documents).run(chain(asked, federated)))
    if not args.keep:
        left.unload()
        right.unload()
    errors = _errors(left, right)
    played = _calls(left, right, args.seed, args.calls)
    with tempfile.TemporaryDirectory(prefix="miroir-compat-") as folder:
        clients = try_all(args.right, args.right_key, Path(folder))
    shares = Shares(report, errors, played, clients)
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)
    if args.format == "json":
        sys.stdout.write(json.dumps(report.as_json() | shares.as_json(), ensure_ascii=False, indent=2) + "\n")
    elif args.format == "markdown":
        sys.stdout.write(f"{report.markdown()}\n{shares.markdown()}")
    else:
        report.print(console)
        shares.print(console)
    return 1 if report.differing or errors.differing or played.differing or clients.failed else 0


def _errors(left: Side, right: Side) -> Parity:
    one, other = Asker(left.api, left.uid("errors")), Asker(right.api, right.uid("errors"))
    for side in (one, other):
        side.load()
    parity = compare(one, other, refusals())
    for side in (one, other):
        side.unload()
    return parity


def _calls(left: Side, right: Side, seed: int, count: int) -> Played:
    sequence = Sequences(seed, f"{left.prefix}-calls")
    one, other = Player(left.api, sequence.prefix), Player(right.api, sequence.prefix)
    for player in (one, other):
        player.begin(sequence.indexes)
    played = play(one, other, sequence.draw(count))
    for player in (one, other):
        player.end(sequence.indexes)
    return played


if __name__ == "__main__":
    sys.exit(main())
