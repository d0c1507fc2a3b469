"""`python -m tests.compat --left URL --right URL`: compare any two servers that speak Meilisearch's API.

Both are loaded with the same generated indexes (their names begin with --prefix, and they are replaced), then asked the
same generated requests. Exit status 1 when an answer differs in what it must not.
"""

from __future__ import annotations

import argparse
import json
import sys
from itertools import chain

from rich.console import Console

from tests.client import Api
from tests.compat.cases import cases
from tests.compat.corpus import corpus
from tests.compat.federated import federated_cases
from tests.compat.report import Report
from tests.compat.run import Comparison, Side


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
    console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)
    if args.format == "json":
        sys.stdout.write(json.dumps(report.as_json(), ensure_ascii=False, indent=2) + "\n")
    elif args.format == "markdown":
        sys.stdout.write(report.markdown())
    else:
        report.print(console)
    return 1 if report.differing else 0


if __name__ == "__main__":
    sys.exit(main())
