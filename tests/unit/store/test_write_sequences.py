"""Sequences of everything that touches in-sync sets, beside a model that knows the rules and nothing of stores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miroir.store import (
    Commit,
    HoldRow,
    Intent,
    IntentGone,
    MappingChanged,
    NoQuorum,
    Quorum,
    Store,
    TaskRow,
)
from tests.unit.store.places import Place
from tests.unit.store.samples import SHARDS, Clock, announce, begun, copies, found, new_task, settlement

_ALL = ("a", "b", "c", "d")
_shards = st.sets(st.integers(0, SHARDS - 1), min_size=1).map(lambda chosen: tuple(sorted(chosen)))
_nodes = st.frozensets(st.sampled_from(_ALL))
_sets = st.fixed_dictionaries(dict.fromkeys(range(SHARDS), _nodes))
_quorum = st.builds(Quorum, _nodes, st.integers(1, 3))
_quorums = st.dictionaries(st.integers(0, SHARDS - 1), st.lists(_quorum, min_size=1, max_size=2).map(tuple))
# Most writes should stand, or the sequences end in nothing but verifications: most copies own and take them.
_most = st.fixed_dictionaries(dict.fromkeys(range(SHARDS), st.frozensets(st.sampled_from(_ALL), min_size=3)))
_steps = st.one_of(
    st.tuples(st.just("begin"), _shards),
    st.tuples(st.just("write"), _shards, _most, _most),
    st.tuples(st.just("commit"), st.integers(0, 9), _sets, _most, _quorums),
    st.tuples(st.just("leave"), _sets),
    st.tuples(st.just("settle"), st.integers(0, 9), _sets),
    st.tuples(st.just("withdraw"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("expire"), st.integers(0, 9)),
    st.tuples(st.just("lose disk"), st.sampled_from(_ALL)),
    st.tuples(st.just("join"), st.integers(0, SHARDS - 1), st.sampled_from(_ALL)),
    st.tuples(st.just("clock"), st.integers(-(10**9), 10**9)),
    st.tuples(st.just("reopen")),
)


@dataclass
class _Model:
    in_sync: dict[int, frozenset[str]] = field(default_factory=lambda: dict(copies("abc")))
    repairs: set[tuple[int, str | None]] = field(default_factory=set)
    open: dict[int, Intent] = field(default_factory=dict)
    gone: dict[int, Intent] = field(default_factory=dict)
    tasks: dict[int, TaskRow] = field(default_factory=dict)
    last_stamp: int = 0

    def close(self, intent: Intent) -> None:
        self.gone[intent.stamp] = self.open.pop(intent.stamp)

    def verify(self, intent: Intent) -> None:
        self.repairs |= {(shard, None) for shard in intent.shards}

    def stamped(self, stamp: int) -> None:
        assert stamp > self.last_stamp
        self.last_stamp = stamp


class _Run:
    """One sequence, in the store and in the model."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.clock = Clock()
        self.model = _Model()
        self.store: Store

    async def begin(self, shards: tuple[int, ...]) -> None:
        intent = await begun(self.store, announce(shards))
        self.model.stamped(intent.stamp)
        self.model.open[intent.stamp] = intent

    async def commit(
        self,
        which: int,
        accepted: dict[int, frozenset[str]],
        owners: dict[int, frozenset[str]],
        quorums: dict[int, tuple[Quorum, ...]],
    ) -> None:
        intent = self._pick(which)
        if intent is None:
            return
        commit = Commit(intent.stamp, 1, owners, accepted, quorums, new_task())
        if intent.stamp in self.model.gone:
            await self._refused(commit, IntentGone)
            return
        self.model.close(intent)
        before = dict(self.model.in_sync)
        live = {shard: before[shard] & accepted[shard] for shard in intent.shards}
        short = tuple(
            shard
            for shard in intent.shards
            if not live[shard]
            or not any(
                len(live[shard] & way.nodes) >= way.needed for way in quorums.get(shard, (Quorum(live[shard], 1),))
            )
        )
        if short:
            refusal = await self._refused(commit, NoQuorum)
            assert isinstance(refusal, NoQuorum)
            assert refusal.shards == short
            self.model.verify(intent)
            return
        committed = await self.store.commit(commit)
        assert committed.in_sync == {shard: live[shard] for shard in intent.shards if live[shard] != before[shard]}
        self.model.in_sync |= live
        self.model.repairs |= {
            (shard, node) for shard in intent.shards for node in (before[shard] - live[shard]) & owners[shard]
        }
        self.model.tasks[committed.task.uid] = committed.task

    async def write(
        self, shards: tuple[int, ...], accepted: dict[int, frozenset[str]], owners: dict[int, frozenset[str]]
    ) -> None:
        await self.begin(shards)
        await self.commit(len(self.model.open) - 1, accepted, owners, {})

    async def leave(self, lost: dict[int, frozenset[str]]) -> None:
        changed = await self.store.leave_in_sync("books", lost, "test", since=1)
        assert changed == self._left(lost)

    def _left(self, lost: dict[int, frozenset[str]]) -> dict[int, frozenset[str]]:
        changed = {}
        for shard, nodes in self.model.in_sync.items():
            if nodes <= lost[shard]:
                self.model.repairs.add((shard, None))
            elif nodes & lost[shard]:
                changed[shard] = nodes - lost[shard]
                self.model.repairs |= {(shard, node) for node in nodes & lost[shard]}
        self.model.in_sync |= changed
        return changed

    async def settle(self, which: int, lost: dict[int, frozenset[str]]) -> None:
        if not self.model.tasks:
            return
        task = list(self.model.tasks.values())[which % len(self.model.tasks)]
        settled, changed = await self.store.settle(settlement(task, lost))
        assert changed == (self._left(lost) if task.finished_at is None else {})
        self.model.tasks[task.uid] = settled

    async def withdraw(self, which: int, verify: bool) -> None:
        intent = self._pick(which)
        if intent is None:
            return
        await self.store.withdraw(intent.stamp, verify=verify)
        if intent.stamp in self.model.open:
            self.model.close(intent)
            if verify:
                self.model.verify(intent)

    async def expire(self, which: int) -> None:
        intent = self._pick(which)
        if intent is None:
            return
        expected = [each for each in self.model.open.values() if each.begun_ms < intent.begun_ms]
        assert await self.store.expire_intents(intent.begun_ms, frozenset({"nobody"})) == expected
        for each in expected:
            self.model.close(each)
            self.model.verify(each)

    async def lose_disk(self, node: str) -> None:
        changed = await self.store.drop_node_copies(node, f"{node}#")
        expected = {
            shard: nodes - {node} or frozenset({f"{node}#"})
            for shard, nodes in self.model.in_sync.items()
            if node in nodes
        }
        assert changed == ({"books": expected} if expected else {})
        self.model.in_sync |= expected
        self.model.repairs |= {(shard, node) for shard in expected}

    async def join(self, shard: int, node: str) -> None:
        await self.store.place_hold(HoldRow("move", "books", (shard,), self.clock.now_ms + 5))
        if any(shard in intent.shards for intent in self.model.open.values()):
            try:
                await self.store.join_in_sync("books", shard, node, "move", min(self.model.in_sync[shard]))
            except MappingChanged:
                pass
            else:
                raise AssertionError("joined beside an open write")
        else:
            joined = await self.store.join_in_sync("books", shard, node, "move", min(self.model.in_sync[shard]))
            self.model.in_sync[shard] |= {node}
            assert joined == self.model.in_sync[shard]
            self.model.repairs.discard((shard, node))
        await self.store.release_hold("move", "books")

    async def advance(self, by_us: int) -> None:
        self.clock.now_us += by_us
        self.model.stamped(await self.store.issue_stamp())

    async def reopen(self) -> None:
        await self.store.aclose()
        self.store = await self.place.open(self.clock)

    async def check(self) -> None:
        in_sync = (await self.store.load_in_sync())["books"]
        assert all(in_sync.values())
        assert in_sync == self.model.in_sync
        assert {(repair.shard, repair.node) for repair in await self.store.list_repairs()} == self.model.repairs
        assert await self.store.open_intents() == list(self.model.open.values())
        for uid, task in self.model.tasks.items():
            assert await self.store.get_task(uid) == task

    def _pick(self, which: int) -> Intent | None:
        intents = [*self.model.open.values(), *self.model.gone.values()]
        return intents[which % len(intents)] if intents else None

    async def _refused(self, commit: Commit, kind: type[Exception]) -> Exception:
        try:
            await self.store.commit(commit)
        except kind as refusal:
            return refusal
        raise AssertionError(f"committed in spite of {kind.__name__}")


@settings(
    max_examples=60,
    deadline=None,
    # The fixture only makes new places; each example has its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(_steps, max_size=25))
def test_the_store_does_what_the_rules_say(new_place: Callable[[], Place], steps: list[tuple[object, ...]]) -> None:
    async def play() -> None:
        run = _Run(new_place())
        run.store = await run.place.open(run.clock)
        actions: dict[object, Callable[..., object]] = {
            "begin": run.begin,
            "commit": run.commit,
            "write": run.write,
            "leave": run.leave,
            "settle": run.settle,
            "withdraw": run.withdraw,
            "expire": run.expire,
            "lose disk": run.lose_disk,
            "join": run.join,
            "clock": run.advance,
            "reopen": run.reopen,
        }
        try:
            await found(run.store, nodes="abc")
            for name, *arguments in steps:
                await actions[name](*arguments)  # type: ignore[misc]  # each is a coroutine function
                await run.check()
            await run.reopen()
            await run.check()
        finally:
            await run.store.aclose()

    trio.run(play)
