"""The commands `miroir` and `miroir-ctl`. Exit codes: 0 done, 1 failed, 2 wrong usage."""
