"""How long to wait between two polls of a node.

A task that is done is not done for its client before we have seen it. Doubling the pause up to a second let every
write of a few seconds end half a second late. So the pause is a share of the time in which nothing has happened: what
takes long is looked at seldom, and is seen late by no more than that share of itself. Somebody who asks for the task
makes that share smaller, not none: clients poll too, and a node that is polled for each of their polls has less to work
with. And a poll that takes long itself (many open tasks, or a node with better things to do) is not repeated soon,
whoever is waiting.
"""

from __future__ import annotations

from typing import Final

SHORTEST_S: Final = 0.025
LONGEST_S: Final = 1.0
_SHARE_OF_QUIET: Final = 0.125
_SHARE_WHEN_ASKED: Final = 0.05
_TIMES_ITS_OWN_LENGTH: Final = 8.0


def least_pause(poll_s: float) -> float:
    """Seconds after a poll of that length before there may be another, even when there is news."""
    return min(max(SHORTEST_S, poll_s * _TIMES_ITS_OWN_LENGTH), LONGEST_S)


def pause(poll_s: float, quiet_s: float) -> float:
    """Seconds until the next poll, after one of that length, when nothing has happened for `quiet_s`."""
    return min(max(least_pause(poll_s), quiet_s * _SHARE_OF_QUIET), LONGEST_S)


def pause_when_asked(poll_s: float, quiet_s: float) -> float:
    """The same, when somebody has asked for an open task meanwhile."""
    return min(max(least_pause(poll_s), quiet_s * _SHARE_WHEN_ASKED), LONGEST_S)
