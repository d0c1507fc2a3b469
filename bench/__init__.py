"""The benchmark harness: Miroir beside a plain node and the bare work, in one run on one machine, as ratios."""
