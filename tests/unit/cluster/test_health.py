"""Health: thresholds, and that it follows from the history alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miroir.cluster import Health, Thresholds
from miroir.cluster.health import answered, condemned, missed

_THRESHOLDS = Thresholds(unhealthy=3, recovery=2)


def _after(history: str, thresholds: Thresholds = _THRESHOLDS) -> Health:
    """`+` answered, `-` missed, `!` condemned; the clock ticks with each."""
    health = Health()
    for now, event in enumerate(history):
        if event == "+":
            health = answered(health, now, thresholds)
        elif event == "-":
            health = missed(health, f"missed at {now}", thresholds)
        else:
            health = condemned(health, f"condemned at {now}")
    return health


@pytest.mark.parametrize(
    ("history", "status"),
    [
        ("", "unknown"),
        ("+", "healthy"),
        ("-", "failed"),
        ("-+", "failed"),
        ("-++", "healthy"),
        ("-+-+", "failed"),
        ("-+-++", "healthy"),
        ("+-", "degraded"),
        ("+--", "degraded"),
        ("+---", "failed"),
        ("+--+", "healthy"),
        ("+--+--", "degraded"),
        ("+---+", "failed"),
        ("+---++", "healthy"),
        ("+---++--", "degraded"),
        ("+!", "failed"),
        ("+!+", "failed"),
        ("+!++", "healthy"),
        ("!", "failed"),
    ],
)
def test_histories(history: str, status: str) -> None:
    health = _after(history)
    assert health.status == status
    assert health.usable == (status in ("healthy", "degraded"))


def _run_ending(history: str, at: int) -> int:
    event = history[at]
    start = at
    while start and history[start - 1] == event:
        start -= 1
    return at - start + 1


@settings(deadline=None)
@given(st.text("+-!", max_size=25), st.integers(1, 4), st.integers(1, 4))
def test_status_follows_from_the_history(history: str, unhealthy: int, recovery: int) -> None:
    """Failed is who failed later than recovered; of the rest the last event decides."""
    health = _after(history, Thresholds(unhealthy, recovery))
    failed_at = recovered_at = -1
    misses = 0
    for at, event in enumerate(history):
        misses = 0 if event == "+" else misses + 1
        if event == "!" or (event == "-" and (misses >= unhealthy or at == 0)):
            failed_at = at
        if event == "+" and _run_ending(history, at) >= recovery:
            recovered_at = at
    if not history:
        expected = "unknown"
    elif failed_at > recovered_at:
        expected = "failed"
    else:
        expected = "healthy" if history[-1] == "+" else "degraded"
    assert health.status == expected
    seen = [at for at, event in enumerate(history) if event == "+"]
    assert health.last_seen_ms == (seen[-1] if seen else None)


def test_reasons() -> None:
    assert _after("+").reason is None
    assert _after("+-").reason == "missed at 1"
    assert _after("+--").reason == "missed at 2"
    assert _after("+-+").reason is None
    assert _after("+!").reason == "condemned at 1"
    assert _after("+!+").reason == "condemned at 1"  # not back yet, so still why
    assert _after("+!++").reason is None
