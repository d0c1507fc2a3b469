"""`make demo`: the sample on three nodes. On a terminal it runs until Ctrl-C, elsewhere it ends after one search."""

from __future__ import annotations

import os
import sys

from miroir.cli.dev import DevOptions, run_dev


def main() -> int:
    """`DEMO_ONCE=1` ends it after the search on a terminal too."""
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return run_dev(DevOptions(sample=True, once=os.environ.get("DEMO_ONCE") == "1" or not on_terminal))


if __name__ == "__main__":
    raise SystemExit(main())
