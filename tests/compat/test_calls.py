"""A generated sequence of calls leads to the same, call by call, on a plain node and on a cluster."""

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
    cluster: Callable[..., Cluster], single_node: RealNode, groups: int, nodes: int, rf: int, seed: int
) -> None:
    sequence = Sequences(seed)
    left = Player(single_node.api, sequence.prefix)
    right = Player(cluster(groups=groups, nodes=nodes, rf=rf).client, sequence.prefix)
    for player in (left, right):
        player.begin(sequence.indexes)
    played = play(left, right, sequence.draw(CALLS))
    for player in (left, right):
        player.end(sequence.indexes)
    assert not played.differing, f"{played}\n" + "\n".join(played.differing[:10])
    assert played.calls > CALLS
    assert {200, 202, 404} <= played.statuses.keys(), "the sequence tries too little"
