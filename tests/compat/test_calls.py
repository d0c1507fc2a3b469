"""A generated sequence of calls leads to the same, call by call, on a plain node and on a cluster.

Both are this test's own. Its calls look at a whole server (dumps, numbers of indexes, features), so what other tests
leave on a shared one would take part: a document of theirs that is too deep for a dump fails the node's.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.compat.calls import Sequences
from tests.compat.play import Player, play
from tests.nodes import Cluster, RealNode

CALLS = 60


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("groups", "nodes", "rf", "seed"), [(1, 3, 1, 2)], ids=["3 nodes"])
def test_a_sequence_of_calls_has_the_same_answers_and_the_same_end(
    cluster: Callable[..., Cluster],
    real_node: Callable[..., RealNode],
    groups: int,
    nodes: int,
    rf: int,
    seed: int,
) -> None:
    sequence = Sequences(seed)
    left = Player(real_node().api, sequence.prefix)
    right = Player(cluster(groups=groups, nodes=nodes, rf=rf, fresh=True).client, sequence.prefix)
    for player in (left, right):
        player.begin(sequence.indexes)
    played = play(left, right, sequence.draw(CALLS))
    for player in (left, right):
        player.end(sequence.indexes)
    assert not played.differing, f"{played}\n" + "\n".join(played.differing[:10])
    assert played.calls > CALLS
    assert {200, 202, 404} <= played.statuses.keys(), "the sequence tries too little"
