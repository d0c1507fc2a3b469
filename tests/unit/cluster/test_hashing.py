"""Hashing: the vectors every implementation must meet, and how evenly names spread."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh64_intdigest

from miroir.cluster.hashing import preferred, score, shard_of, shards_of

_IDS = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8, unique=True)


@pytest.mark.parametrize(
    ("key", "shards", "shard"),
    [
        ("user:12345", 64, 15),
        ("product:abc", 64, 24),
        ("order:99999", 64, 4),
        ("7", 64, 62),
        (str(7), 64, 62),
        ("test", 16, 10),
        ("hello", 32, 6),
    ],
)
def test_vectors_of_keys(key: str, shards: int, shard: int) -> None:
    assert shard_of(key, shards) == shard
    assert shards_of([key], shards) == [shard]


@pytest.mark.parametrize(
    ("shard", "node", "expected"),
    [
        (0, "meili-0", 12731063314527458815),
        (0, "meili-1", 17669319149168694829),
        (63, "meili-2", 11910058271701219303),
    ],
)
def test_vectors_of_nodes(shard: int, node: str, expected: int) -> None:
    assert score(shard, node) == expected


def test_the_hash_behind_a_shard() -> None:
    assert shard_of("7", 2**64) == xxh64_intdigest(b"7\xff") == 5595487205430673982


@settings(deadline=None)
@given(st.lists(st.text(max_size=20), max_size=20), st.integers(1, 4096))
def test_many_keys_as_one_by_one(keys: list[str], shards: int) -> None:
    placed = shards_of(iter(keys), shards)
    assert placed == [shard_of(key, shards) for key in keys]
    assert all(0 <= shard < shards for shard in placed)


@settings(deadline=None)
@given(st.data(), st.integers(0, 2**32 - 1), _IDS, st.integers(1, 8))
def test_preference_ignores_the_order_of_names(data: st.DataObject, shard: int, ids: list[str], copies: int) -> None:
    best = preferred(shard, ids, copies)
    assert preferred(shard, data.draw(st.permutations(ids)), copies) == best
    assert len(set(best)) == len(best) == min(copies, len(ids))
    worst_chosen = min(score(shard, node) for node in best)
    assert all(score(shard, node) <= worst_chosen for node in ids if node not in best)
    assert list(best) == sorted(best, key=lambda node: -score(shard, node))


def test_ties_go_to_the_smaller_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """No two names are known that tie, so all of them are made to."""
    monkeypatch.setattr("miroir.cluster.hashing.score", lambda shard, node_id: 7)
    assert preferred(0, ("meili-10", "meili-2", "a", "Z"), 3) == ("Z", "a", "meili-10")


def test_keys_spread_evenly() -> None:
    """6,400 consecutive numbers over 64 shards: 100 each, standard deviation 10."""
    counts = Counter(shards_of(map(str, range(6400)), 64))
    assert set(counts) == set(range(64))
    assert all(60 <= count <= 140 for count in counts.values())


def test_shards_spread_evenly() -> None:
    """6,000 shards over 6 nodes, two copies: 2,000 each, standard deviation 37."""
    nodes = [f"meili-{number}" for number in range(6)]
    counts = Counter(node for shard in range(6000) for node in preferred(shard, nodes, 2))
    assert all(1850 <= counts[node] <= 2150 for node in nodes)
    firsts = Counter(preferred(shard, nodes, 2)[0] for shard in range(6000))
    assert all(850 <= firsts[node] <= 1150 for node in nodes)
