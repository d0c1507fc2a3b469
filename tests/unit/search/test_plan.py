"""Plans: every shard asked for once, of a copy that may be trusted, with few nodes; and the planner's turns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain, combinations
from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.cluster import Placement, place
from miroir.search.plan import Plan, Target, cover, make_plan
from miroir.search.planner import Planner
from tests.unit.tasks.stand_ins import stand_in_cluster, topology_of


@dataclass(frozen=True)
class Case:
    """What a plan is made from."""

    placement: Placement
    shards: tuple[int, ...]
    in_sync: dict[int, frozenset[str]]
    usable: frozenset[str]
    order: tuple[int, ...]
    costs: dict[str, float]

    def plan(self) -> Plan:
        return make_plan(
            self.placement, self.shards, self.in_sync, self.usable, group_order=self.order, cost=self.costs.__getitem__
        )

    def readers(self, shard: int, group: int | None = None) -> set[str]:
        """Owners of the shard, of all groups or one, that may be asked for it."""
        groups = self.order if group is None else (group,)
        owners = {node for each in groups for node in self.placement.by_group[each][shard]}
        return owners & self.in_sync.get(shard, frozenset()) & self.usable


@st.composite
def cases(draw: st.DrawFn) -> Case:
    groups, nodes = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    topology = topology_of(groups, nodes, draw(st.integers(1, nodes)))
    placement = place(topology, draw(st.integers(1, 12)))
    ids = [node.id for node in topology.nodes]
    shards = draw(st.lists(st.integers(0, placement.shards - 1), min_size=1, unique=True).map(sorted))
    in_sync = {
        # Mostly whole, sometimes less, never empty; at times a node that is no owner any more.
        shard: frozenset(draw(st.one_of(st.just(owners), st.sets(st.sampled_from(ids), min_size=1))))
        for shard, owners in enumerate(placement.owners)
        if draw(st.integers(0, 9))
    }
    usable = draw(st.one_of(st.just(set(ids)), st.sets(st.sampled_from(ids))))
    order = draw(st.permutations(range(groups)))
    costs = {node: draw(st.sampled_from([0.0, 1.0, 2.5])) for node in ids}
    return Case(placement, tuple(shards), in_sync, frozenset(usable), tuple(order), costs)


@given(cases())
def test_every_shard_is_asked_for_exactly_once_or_unavailable(case: Case) -> None:
    plan = case.plan()
    asked = Counter(chain.from_iterable(target.shards for target in plan.targets))
    asked.update(plan.unavailable)
    assert asked == Counter(case.shards)
    assert all(target.shards == tuple(sorted(target.shards)) and target.shards for target in plan.targets)
    assert [target.node for target in plan.targets] == sorted({target.node for target in plan.targets})


@given(cases())
def test_only_copies_that_are_owned_trusted_and_reachable_are_asked(case: Case) -> None:
    plan = case.plan()
    for target in plan.targets:
        for shard in target.shards:
            assert target.node in case.readers(shard)
    assert set(plan.unavailable) == {shard for shard in case.shards if not case.readers(shard)}


@given(cases())
def test_a_group_that_covers_every_shard_is_preferred_and_borrows_nothing(case: Case) -> None:
    plan = case.plan()
    whole = [group for group in case.order if all(case.readers(shard, group) for shard in case.shards)]
    assert plan.group == (whole or case.order)[0]
    if whole:
        assert (plan.borrowed, plan.unavailable) == ((), ())
        assert all(target.node in case.readers(shard, whole[0]) for target in plan.targets for shard in target.shards)


@given(cases())
def test_a_shard_is_borrowed_only_when_the_chosen_group_has_no_reader_of_it(case: Case) -> None:
    plan = case.plan()
    lacking = {shard for shard in case.shards if not case.readers(shard, plan.group)}
    assert set(plan.borrowed) == lacking - set(plan.unavailable)
    for target in plan.targets:
        for shard in set(target.shards) & set(plan.borrowed):
            first = next(group for group in case.order if case.readers(shard, group))
            assert target.node in case.readers(shard, first)


@given(cases())
def test_the_same_inputs_give_the_same_plan(case: Case) -> None:
    shuffled = Case(
        case.placement,
        case.shards,
        dict(reversed(case.in_sync.items())),
        frozenset(sorted(case.usable, reverse=True)),
        case.order,
        case.costs,
    )
    assert case.plan() == shuffled.plan()


candidates = st.dictionaries(
    st.integers(0, 9), st.sets(st.sampled_from("abcdef"), min_size=1).map(sorted), min_size=1, max_size=10
)


@given(candidates, st.permutations("abcdef"))
def test_a_cover_is_a_partition_with_few_nodes(readers: dict[int, list[str]], ranking: list[str]) -> None:
    targets = cover(readers, lambda node: float(ranking.index(node)))
    assert sorted(chain.from_iterable(target.shards for target in targets)) == sorted(readers)
    assert all(target.node in readers[shard] for target in targets for shard in target.shards)
    fewest = next(
        size
        for size in range(1, 7)
        if any(all(set(nodes) & set(chosen) for nodes in readers.values()) for chosen in combinations("abcdef", size))
    )
    assert len(targets) <= fewest * (log(len(readers)) + 1)
    if fewest == 1:
        cheapest = min(set.intersection(*map(set, readers.values())), key=ranking.index)
        assert targets == (Target(cheapest, tuple(sorted(readers))),)


def test_nobody_to_ask_makes_everything_unavailable() -> None:
    placement = place(topology_of(1, 2, 1), 3)
    plan = make_plan(placement, range(3), {}, {"a", "b"}, group_order=[0], cost=lambda _: 0.0)
    assert plan == Plan((), 0, "no group covers every shard", (), (0, 1, 2))


def test_without_groups_there_is_no_plan() -> None:
    placement = place(topology_of(1, 2, 1), 2)
    plan = make_plan(placement, range(2), placement.copies(), {"a", "b"}, group_order=[], cost=lambda _: 0.0)
    assert (plan.targets, plan.group, plan.unavailable) == ((), None, (0, 1))


@pytest.mark.parametrize(("usable", "reason"), [("abcd", "its turn"), ("cd", "the first in turn that covers every")])
def test_the_reason_is_said(usable: str, reason: str) -> None:
    placement = place(topology_of(2, 2, 1), 8)
    plan = make_plan(placement, range(8), placement.copies(), set(usable), group_order=[0, 1], cost=lambda _: 0.0)
    assert plan.reason.startswith(reason)


# -- the planner -----------------------------------------------------------------------------------------------------

SHARDS = 8


def planner_of(groups: int, nodes: int, rf: int) -> Planner:
    cluster, _ = stand_in_cluster(groups, nodes, rf)
    cluster.load_in_sync({"books": cluster.placement(SHARDS).copies(), "films": cluster.placement(SHARDS).copies()})
    return Planner(cluster)


@pytest.mark.parametrize("groups", [1, 2, 3, 5, 9])
def test_groups_take_turns(groups: int) -> None:
    planner = planner_of(groups, 1, 1)
    chosen = [planner.plan("books", SHARDS).group for _ in range(3 * groups)]
    assert chosen[:groups] == list(range(groups))
    assert Counter(chosen) == dict.fromkeys(range(groups), 3)


def test_copies_of_equal_cost_take_turns_too() -> None:
    planner = planner_of(1, 3, 3)
    asked = Counter(planner.plan("books", SHARDS).targets[0].node for _ in range(24))
    assert set(asked) == {"a", "b", "c"}


def test_plans_are_kept_until_the_cluster_changes() -> None:
    planner = planner_of(2, 2, 1)
    cluster = planner._cluster
    kept = [planner.plan("books", SHARDS) for _ in range(64)]
    before = set(map(id, kept))
    assert {id(planner.plan("books", SHARDS)) for _ in range(64)} == before
    cluster.node_missed("a", "timeout")
    plans = [planner.plan("books", SHARDS) for _ in range(16)]
    assert before.isdisjoint(map(id, plans))
    assert all(target.node != "a" for plan in plans for target in plan.targets)
    assert all(plan.group == 1 and not plan.unavailable for plan in plans)
    cluster.node_answered("a")
    assert {planner.plan("books", SHARDS).group for _ in range(16)} == {0, 1}


def test_a_copy_that_is_not_trusted_any_more_is_not_asked() -> None:
    planner = planner_of(1, 2, 2)
    planner.plan("books", SHARDS)
    planner._cluster.apply_in_sync("books", {3: frozenset("b")})
    for _ in range(16):
        holder = {shard: target.node for target in planner.plan("books", SHARDS).targets for shard in target.shards}
        assert holder[3] == "b"
    assert planner.plan("nobody knows it", SHARDS).unavailable == tuple(range(SHARDS))


def test_what_a_failed_node_left_open_is_planned_without_it() -> None:
    planner = planner_of(1, 3, 2)
    plan = planner.plan("books", SHARDS)
    failed = plan.targets[0]
    rest = planner.plan_rest("books", SHARDS, failed.shards, frozenset({failed.node}))
    assert rest.unavailable == ()
    assert all(target.node != failed.node for target in rest.targets)
    assert sorted(chain.from_iterable(target.shards for target in rest.targets)) == list(failed.shards)


def test_every_copy_that_may_be_read_can_be_asked() -> None:
    planner = planner_of(2, 2, 1)
    cluster = planner._cluster
    placed = cluster.placement(SHARDS).copies()
    plan = planner.plan_everywhere("books", SHARDS)
    assert {(target.node, shard) for target in plan.targets for shard in target.shards} == {
        (node, shard) for shard, nodes in placed.items() for node in nodes
    }
    cluster.set_stale("books", frozenset("c"))
    cluster.node_missed("d", "timeout")
    cluster.apply_in_sync("books", {3: frozenset("cd")})
    plan = planner.plan_everywhere("books", SHARDS)
    assert {target.node for target in plan.targets} == {"a", "b"}
    assert plan.unavailable == (3,)
