"""Settlement: what became of a write, from what its node tasks say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.store import NodeTask, NodeTaskStatus
from miroir.tasks.settlement import Verdict, judge

STATUSES: tuple[NodeTaskStatus, ...] = ("open", "succeeded", "failed", "canceled", "lost")
WRONG = {"failed", "canceled", "lost"}


def part(node: str, status: NodeTaskStatus, *shards: int, uid: int = 1) -> NodeTask:
    return NodeTask(node, "i1", uid, shards or (0,), status)


@st.composite
def node_tasks(draw: st.DrawFn) -> list[NodeTask]:
    """Tasks of up to four nodes over up to five shards; a node may have several for a shard."""
    uids = count()
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from("abcd"), st.sampled_from(STATUSES), st.sets(st.integers(0, 4), min_size=1, max_size=5)
            ),
            min_size=1,
            max_size=10,
        )
    )
    return [NodeTask(node, "i1", next(uids), tuple(sorted(shards)), status) for node, status, shards in drawn]


away_nodes = st.frozensets(st.sampled_from("abcd"))


def copies(tasks: list[NodeTask]) -> dict[int, dict[str, set[str]]]:
    """Shard -> node -> the statuses of its tasks."""
    found: defaultdict[int, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for task in tasks:
        for shard in task.shards:
            found[shard][task.node].add(task.status)
    return {shard: dict(nodes) for shard, nodes in found.items()}


def applied(statuses: set[str]) -> bool:
    return statuses == {"succeeded"}


def undecided(statuses: set[str]) -> bool:
    return "open" in statuses and not statuses & WRONG


@given(node_tasks(), away_nodes)
def test_a_task_is_open_exactly_as_long_as_somebody_is_waited_for(tasks: list[NodeTask], away: frozenset[str]) -> None:
    waited_for = [
        node
        for nodes in copies(tasks).values()
        for node, statuses in nodes.items()
        if undecided(statuses) and not (node in away and any(map(applied, nodes.values())))
    ]
    assert (judge(tasks, away.__contains__) is None) == bool(waited_for)


trusted_copies = st.dictionaries(st.integers(0, 4), st.frozensets(st.sampled_from("abcd"), min_size=1))


@given(node_tasks(), away_nodes, trusted_copies)
def test_a_trusted_copy_is_waited_for_unless_another_one_applied_it(
    tasks: list[NodeTask], away: frozenset[str], trusted: dict[int, frozenset[str]]
) -> None:
    waited_for = []
    for shard, nodes in copies(tasks).items():
        having = {node for node, statuses in nodes.items() if applied(statuses)}
        vouching = trusted.get(shard, frozenset())
        for node, statuses in nodes.items():
            missed = node in away and having and (node not in vouching or having & vouching)
            if undecided(statuses) and not missed:
                waited_for.append(node)
    assert (judge(tasks, away.__contains__, trusted) is None) == bool(waited_for)


def test_what_a_copy_applied_that_is_not_trusted_any_more_is_left_to_the_trusted_one() -> None:
    """Both took it; one missed the next write, the other is away, and has it in its queue."""
    tasks = [part("a", "open"), part("b", "succeeded")]
    assert judge(tasks, {"a"}.__contains__, {0: frozenset("ab")}) is not None
    assert judge(tasks, {"a"}.__contains__, {0: frozenset("a")}) is None
    assert judge(tasks, {"a"}.__contains__, {0: frozenset("b")}) is not None
    assert judge(tasks, {"a"}.__contains__, {0: frozenset("c")}) is not None, "waiting for it would help nobody"


@given(node_tasks(), away_nodes)
def test_it_failed_only_where_no_owner_applied_it(tasks: list[NodeTask], away: frozenset[str]) -> None:
    verdict = judge(tasks, away.__contains__)
    if verdict is None:
        return
    nobody = {shard for shard, nodes in copies(tasks).items() if not any(map(applied, nodes.values()))}
    assert set(verdict.failed_shards) == nobody
    assert (verdict.status == "succeeded") == (not nobody)
    if verdict.status == "canceled":
        assert all(task.status in ("canceled", "succeeded") for task in tasks)


@given(node_tasks(), away_nodes)
def test_lost_copies_are_those_that_did_not_take_what_another_owner_has_or_may_have(
    tasks: list[NodeTask], away: frozenset[str]
) -> None:
    verdict = judge(tasks, away.__contains__)
    if verdict is None:
        return
    expected = {}
    for shard, nodes in copies(tasks).items():
        missing = {node for node, statuses in nodes.items() if not applied(statuses)}
        if len(missing) < len(nodes):
            expected[shard] = missing
        elif any("lost" in statuses for statuses in nodes.values()):
            expected[shard] = set(nodes)  # whoever forgot it may have done it: all of them are in doubt
    expected = {shard: nodes for shard, nodes in expected.items() if nodes}
    assert verdict.lost == expected


@given(node_tasks(), away_nodes)
def test_copies_that_have_it_are_named_and_none_of_them_is_lost(tasks: list[NodeTask], away: frozenset[str]) -> None:
    verdict = judge(tasks, away.__contains__)
    if verdict is None:
        return
    having = {shard: {node for node in nodes if applied(nodes[node])} for shard, nodes in copies(tasks).items()}
    assert verdict.applied == {shard: nodes for shard, nodes in having.items() if nodes}
    assert all(verdict.lost.get(shard, frozenset()).isdisjoint(nodes) for shard, nodes in verdict.applied.items())


@given(node_tasks(), away_nodes, st.randoms())
def test_the_order_of_the_node_tasks_does_not_matter(tasks: list[NodeTask], away: frozenset[str], rng: object) -> None:
    shuffled = tasks.copy()
    rng.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis types it as object
    assert judge(shuffled, away.__contains__) == judge(tasks, away.__contains__)


@given(node_tasks(), away_nodes)
def test_what_is_decided_with_everybody_there_stays_so_when_nodes_go_away(
    tasks: list[NodeTask], away: frozenset[str]
) -> None:
    decided = judge(tasks, lambda _: False)
    if decided is not None:
        assert judge(tasks, away.__contains__) == decided


@pytest.mark.parametrize(
    ("tasks", "away", "verdict"),
    [
        ([part("a", "succeeded"), part("b", "succeeded")], "", Verdict("succeeded")),
        ([part("a", "succeeded"), part("b", "failed")], "", Verdict("succeeded", {0: frozenset("b")})),
        ([part("a", "failed"), part("b", "failed")], "", Verdict("failed", {}, (0,))),
        ([part("a", "succeeded"), part("b", "open")], "", None),
        ([part("a", "succeeded"), part("b", "open")], "b", Verdict("succeeded", {0: frozenset("b")})),
        ([part("a", "open"), part("b", "open")], "b", None),
        ([part("a", "open"), part("b", "failed")], "a", None),
        ([part("a", "canceled"), part("b", "canceled")], "", Verdict("canceled", {}, (0,))),
        ([part("a", "canceled", 0), part("b", "failed", 1)], "", Verdict("failed", {}, (0, 1))),
        (
            [part("a", "succeeded", 0, 1), part("b", "lost", 1, 2)],
            "",
            Verdict("failed", {1: frozenset("b"), 2: frozenset("b")}, (2,)),
        ),
        # Nobody knows what became of it: all its copies are in doubt, and none is better than another.
        ([part("a", "lost"), part("b", "failed")], "", Verdict("failed", {0: frozenset("ab")}, (0,))),
        # A node has a shard's part only if it applied each of its tasks.
        ([part("a", "succeeded", uid=1), part("a", "failed", uid=2)], "", Verdict("failed", {}, (0,))),
        ([part("a", "succeeded", uid=1), part("a", "open", uid=2)], "", None),
    ],
)
def test_cases(tasks: list[NodeTask], away: str, verdict: Verdict | None) -> None:
    judged = judge(tasks, lambda node: node in away)
    if judged is None or verdict is None:
        assert judged == verdict
    else:
        assert replace(judged, applied={}) == verdict
