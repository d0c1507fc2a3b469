"""The benchmark harness: Miroir beside a plain node, in one run on one machine, as ratios."""
