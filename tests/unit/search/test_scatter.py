"""The scatter over clients that stand in for nodes: in memory, each behaving as the test says, on a mock clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import chain

import msgspec
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from miroir.cluster import Cluster
from miroir.http import ConnectFailed, ConnectionLost, Exchange, Pool, Response
from miroir.nodes import NodeCall, NodeClient, Observer
from miroir.search.plan import Plan, Target
from miroir.search.planner import Planner
from miroir.search.scatter import Gathered, NodeRefused, Request, Scatter, holds_nothing, lacks_index
from miroir.telemetry import Metrics
from tests.unit.tasks.stand_ins import stand_in_cluster

SHARDS = 6
TIMEOUT_S = 1.0
REFUSAL = b'{"message":"Invalid filter","code":"invalid_search_filter","type":"invalid_request","link":""}'
NOT_CREATED = b'{"message":"Index `books` not found.","code":"index_not_found","type":"invalid_request","link":""}'
NO_DOCUMENT_YET = REFUSAL.replace(
    b"Invalid filter",
    b"Attribute `_miroir_seq` is not sortable. Available sortable attributes are: `price, _miroir_seq`.",
)
NOT_OURS = REFUSAL.replace(b"Invalid filter", b"Attribute `_miroir_shard` is not filterable.")

ANSWERING: Mapping[str, tuple[int, bytes | None]] = {
    "ok": (200, None),
    "unreadable": (200, b"<html>"),
    "refuses": (400, REFUSAL),
    "not created": (404, NOT_CREATED),
    "never had a document": (400, NO_DOCUMENT_YET),
    "wiped": (404, NOT_CREATED),
    "without our settings": (400, NOT_OURS),
    "crashes": (500, b""),
    "knows no key": (403, b"{}"),
    "overrun": (429, b"{}"),
}
"""Behaviours that end in an answer: status, and body unless it is the shards asked for."""


class StandInExchange(Exchange):
    """Stands in for a request that was sent. Keeps the promises of a real one about how it ends."""

    def __init__(self, behaviour: str, shards: list[int], delay_s: float) -> None:
        self._behaviour = behaviour
        self._shards = shards
        self._due = trio.current_time() + delay_s
        self.closed = False

    async def response(self) -> Response:
        assert not self.closed
        try:
            await trio.sleep_until(self._due)
            if self._behaviour == "cut":
                raise ConnectionLost("cut", sent=True)
        finally:
            self.closed = True
        status, body = ANSWERING[self._behaviour]
        return Response(status, [], msgspec.json.encode(self._shards) if body is None else body)

    def has_arrived(self) -> bool:
        return not self.closed and trio.current_time() >= self._due

    def abandon(self) -> None:
        self.closed = True


class StandInNode(NodeClient):
    """Stands in for a node's client as far as a scatter goes."""

    def __init__(self, node_id: str, observe: Observer) -> None:
        super().__init__(node_id, Pool("http://127.0.0.1:1"), observe)  # never used
        self.behaviour = "ok"
        self.delay_s = 0.0
        self.connected = True
        self.exchanges: list[StandInExchange] = []
        self.asked: list[list[int]] = []
        self.reports: list[str | None] = []

    @property
    def has_idle_connection(self) -> bool:
        return self.connected

    async def start(self, call: NodeCall) -> Exchange:
        shards: list[int] = msgspec.json.decode(call.body)
        self.asked.append(shards)
        await trio.lowlevel.checkpoint()
        if self.behaviour == "hangs in connecting":
            await trio.sleep_forever()
        if self.behaviour == "refuses connections":
            raise ConnectFailed("refused")
        exchange = StandInExchange(self.behaviour, shards, self.delay_s)
        self.exchanges.append(exchange)
        return exchange

    def observe(self, operation: str, seconds: float, error: str | None) -> None:
        assert operation == "search"
        self.reports.append(error)
        super().observe(operation, seconds, error)


class Rig:
    """A scatter over stand-in nodes a, b, c that each hold everything, unless told otherwise."""

    def __init__(self, *, groups: int = 1, nodes: int = 3, rf: int = 3, retry_on_timeout: bool = True) -> None:
        self.cluster: Cluster
        self.nodes: dict[str, StandInNode]
        self.cluster, self.nodes = stand_in_cluster(groups, nodes, rf, client=StandInNode)
        self.cluster.load_in_sync({"books": self.cluster.placement(SHARDS).copies()})
        self.metrics = Metrics()
        self.scatter = Scatter(
            self.cluster,
            Planner(self.cluster),
            self.metrics,
            lambda node, _: self.nodes[node].behaviour == "not created",
            node_timeout_s=TIMEOUT_S,
            retry_on_timeout=retry_on_timeout,
        )

    async def gather(self, plan: Plan | None = None) -> Gathered[list[int]]:
        request: Request[list[int]] = Request(
            "books",
            SHARDS,
            lambda shards: NodeCall("search", "POST", "/", msgspec.json.encode(shards)),
            msgspec.json.Decoder(list[int]).decode,
        )
        try:
            return await self.scatter.gather(request, plan)
        finally:
            assert self.all_closed, "an exchange was left open"

    @property
    def all_closed(self) -> bool:
        return all(exchange.closed for node in self.nodes.values() for exchange in node.exchanges)

    def metric(self, name: str) -> float:
        value = self.metrics.registry.get_sample_value(name)
        assert value is not None
        return value


THIRDS = Plan((Target("a", (0, 1)), Target("b", (2, 3)), Target("c", (4, 5))), 0, "the test's")


def answered(gathered: Gathered[list[int]]) -> dict[int, str]:
    """Shard -> who answered for it. Each at most once."""
    found: dict[int, str] = {}
    for target, answer in zip(gathered.targets, gathered.answers, strict=True):
        assert answer == list(target.shards), "answers stand beside their targets"
        for shard in answer:
            assert shard not in found
            found[shard] = target.node
    return found


async def test_every_node_answers_for_its_shards() -> None:
    rig = Rig()
    gathered = await rig.gather(THIRDS)
    assert answered(gathered) == {0: "a", 1: "a", 2: "b", 3: "b", 4: "c", 5: "c"}
    assert (gathered.unavailable, gathered.nodes_asked) == ((), 3)
    assert [node.reports for node in rig.nodes.values()] == [[None], [None], [None]]
    assert rig.metric("miroir_scatter_fan_out_size_sum") == 3
    assert rig.metric("miroir_scatter_retries_total") == 0


@pytest.mark.parametrize(
    ("behaviour", "report"),
    [
        ("refuses connections", "ConnectFailed"),
        ("cut", "ConnectionLost"),
        ("unreadable", "unreadable"),
        ("crashes", "status_500"),
        ("knows no key", "status_403"),
        ("overrun", "status_429"),
    ],
)
async def test_a_failing_nodes_shards_are_asked_of_another_copy(behaviour: str, report: str) -> None:
    rig = Rig()
    rig.nodes["b"].behaviour = behaviour
    gathered = await rig.gather(THIRDS)
    holders = answered(gathered)
    assert sorted(holders) == list(range(SHARDS))
    assert "b" not in holders.values()
    assert gathered.unavailable == ()
    assert len(rig.nodes["b"].asked) == 1, "who failed is not asked again"
    assert rig.nodes["b"].reports == [report]
    assert rig.metric("miroir_scatter_retries_total") == 1
    assert rig.metric("miroir_scatter_partial_responses_total") == 0


@pytest.mark.parametrize("slow", ["a", "b", "c"])
async def test_a_slow_nodes_shards_are_asked_of_another_and_the_others_answers_kept(
    autojump_clock: MockClock, slow: str
) -> None:
    rig = Rig()
    rig.nodes[slow].delay_s = 10.0
    started = trio.current_time()
    gathered = await rig.gather(THIRDS)
    assert trio.current_time() - started == pytest.approx(TIMEOUT_S, abs=0.1)
    holders = answered(gathered)
    assert sorted(holders) == list(range(SHARDS))
    assert slow not in holders.values()
    for target in THIRDS.targets:
        if target.node != slow:
            assert rig.nodes[target.node].asked[0] == list(target.shards)
            assert all(shard not in asked for asked in rig.nodes[target.node].asked[1:] for shard in target.shards)
    assert rig.nodes[slow].reports == ["timeout"]


@pytest.mark.parametrize("connected", [True, False])
async def test_a_connection_that_hangs_costs_nobody_elses_answer(autojump_clock: MockClock, connected: bool) -> None:
    rig = Rig()
    for node in rig.nodes.values():
        node.connected = connected
    rig.nodes["b"].behaviour = "hangs in connecting"
    gathered = await rig.gather(THIRDS)
    holders = answered(gathered)
    assert sorted(holders) == list(range(SHARDS))
    assert "b" not in holders.values()
    assert rig.nodes["b"].reports == ["timeout"]
    if not connected:  # all of them were under way side by side
        assert (holders[0], holders[4]) == ("a", "c")


async def test_without_retries_a_slow_nodes_shards_are_unavailable(autojump_clock: MockClock) -> None:
    rig = Rig(retry_on_timeout=False)
    rig.nodes["c"].delay_s = 10.0
    gathered = await rig.gather(THIRDS)
    assert sorted(answered(gathered)) == [0, 1, 2, 3]
    assert gathered.unavailable == (4, 5)
    assert rig.metric("miroir_scatter_partial_responses_total") == 1


async def test_shards_that_nobody_is_left_for_are_unavailable() -> None:
    rig = Rig(rf=1)
    plan = rig.scatter._planner.plan("books", SHARDS)
    lost = plan.targets[0]
    rig.nodes[lost.node].behaviour = "cut"
    gathered = await rig.gather()
    assert gathered.unavailable == lost.shards
    assert sorted([*answered(gathered), *lost.shards]) == list(range(SHARDS))
    assert rig.metric("miroir_scatter_partial_responses_total") == 1


async def test_another_group_is_borrowed_from_when_one_fails() -> None:
    rig = Rig(groups=2, nodes=1, rf=1)
    rig.nodes["a"].behaviour = "cut"
    gathered = await rig.gather()
    assert set(answered(gathered).values()) == {"b"}
    assert gathered.unavailable == ()


async def test_nobody_there_is_no_error_but_everything_unavailable() -> None:
    rig = Rig()
    for node in rig.nodes:
        rig.cluster.node_missed(node, "timeout")
    gathered = await rig.gather()
    assert (gathered.answers, gathered.unavailable, gathered.nodes_asked) == ([], tuple(range(SHARDS)), 0)


async def test_a_refusal_is_the_clients_and_ends_all_exchanges(autojump_clock: MockClock) -> None:
    rig = Rig()
    rig.nodes["a"].behaviour = "refuses"
    rig.nodes["b"].delay_s = rig.nodes["c"].delay_s = 0.9
    started = trio.current_time()
    with pytest.raises(NodeRefused) as caught:
        await rig.gather(THIRDS)
    assert (caught.value.status, caught.value.body) == (400, REFUSAL)
    assert trio.current_time() == started, "nobody else was waited for"
    assert len(rig.nodes["b"].exchanges) == len(rig.nodes["c"].exchanges) == 1


async def test_a_refusal_is_passed_on_although_another_node_is_slow(autojump_clock: MockClock) -> None:
    rig = Rig()
    rig.nodes["a"].delay_s = 10.0
    rig.nodes["c"].behaviour = "refuses"
    with pytest.raises(NodeRefused):
        await rig.gather(THIRDS)


@pytest.mark.parametrize("behaviour", ["not created", "never had a document"])
async def test_a_node_that_has_not_come_to_the_index_yet_answers_that_it_has_nothing(behaviour: str) -> None:
    rig = Rig()
    rig.nodes["b"].behaviour = behaviour
    gathered = await rig.gather(THIRDS)
    assert sorted(answered(gathered)) == [0, 1, 4, 5]
    assert gathered.unavailable == ()
    assert rig.nodes["b"].reports == [None]


@pytest.mark.parametrize("behaviour", ["wiped", "without our settings"])
async def test_a_node_that_lost_its_index_is_not_taken_for_an_empty_one(
    behaviour: str, autojump_clock: MockClock
) -> None:
    rig = Rig()
    rig.nodes["b"].behaviour = behaviour
    for _ in range(3):
        gathered = await rig.gather(THIRDS)
        found = answered(gathered)
        assert sorted(found) == list(range(SHARDS))
        assert "b" not in found.values()
    assert rig.cluster.suspicions("b") == 1, "looked at, but not over and over: writes wait for that"
    assert rig.cluster.health["b"].status == "healthy", "it answers; who it is, a probe finds out"
    await trio.sleep(1.1)
    await rig.gather(THIRDS)
    assert rig.cluster.suspicions("b") == 2


async def test_where_a_lost_index_was_the_only_copy_its_shards_are_unavailable() -> None:
    rig = Rig(rf=1)
    lost = rig.scatter._planner.plan("books", SHARDS).targets[0]
    rig.nodes[lost.node].behaviour = "wiped"
    gathered = await rig.gather()
    assert gathered.unavailable == lost.shards
    assert rig.nodes[lost.node].asked == [list(lost.shards)] * 2, "once more, and then never again"


async def test_an_index_that_was_made_while_the_answer_was_on_its_way_is_asked_again(
    autojump_clock: MockClock,
) -> None:
    rig = Rig(rf=1)
    late = rig.nodes[rig.scatter._planner.plan("books", SHARDS).targets[0].node]
    late.behaviour, late.delay_s = "wiped", 0.5

    async def make() -> None:
        await trio.sleep(0.1)
        late.behaviour = "ok"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(make)
        gathered = await rig.gather()
    assert gathered.unavailable == ()
    assert sorted(answered(gathered)) == list(range(SHARDS))


async def test_who_is_cancelled_leaves_no_exchange_open(autojump_clock: MockClock) -> None:
    rig = Rig()
    for node in rig.nodes.values():
        node.delay_s = 0.9
    with trio.move_on_after(0.5) as scope:
        await rig.gather(THIRDS)
    assert scope.cancelled_caught
    assert sum(len(node.exchanges) for node in rig.nodes.values()) == 3
    assert rig.all_closed


BEHAVIOURS = (
    *("ok", "ok", "slow", "unreadable", "not created", "wiped", "crashes", "knows no key", "overrun", "cut"),
    *("refuses connections", "hangs in connecting"),
)
GOOD = {"ok", "not created"}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(
    st.lists(st.sampled_from(BEHAVIOURS), min_size=4, max_size=4),
    st.sets(st.sampled_from("abcd")),
    st.integers(1, 2),
    st.integers(1, 2),
)
def test_whatever_nodes_do_every_shard_is_answered_once_or_known_to_be_missing(
    behaviours: list[str], connected: set[str], groups: int, rf: int
) -> None:
    async def run() -> None:
        rig = Rig(groups=groups, nodes=4 // groups, rf=rf)
        told: dict[str, str] = dict(zip("abcd", behaviours, strict=True))
        for name, node in rig.nodes.items():
            node.connected = name in connected
            node.behaviour = "ok" if told[name] == "slow" else told[name]
            node.delay_s = 10.0 if told[name] == "slow" else 0.0
        gathered = await rig.gather()
        asked_of_empty = [
            shard
            for name, node in rig.nodes.items()
            if told[name] == "not created"
            for asked in node.asked
            for shard in asked
        ]
        accounted = Counter(chain(answered(gathered), asked_of_empty, gathered.unavailable))
        assert accounted == Counter(range(SHARDS))
        owners = rig.cluster.placement(SHARDS).owners
        for shard in gathered.unavailable:
            assert all(told[node] not in GOOD for node in owners[shard]), "a good copy was not asked"

    trio.run(run, clock=MockClock(autojump_threshold=0))


def _refusal(message: str) -> bytes:
    return msgspec.json.encode({"message": message, "code": "invalid_search_filter", "type": "", "link": ""})


@pytest.mark.parametrize("place", ["", "Index `books`: ", "Inside `.queries[12]`: Index `books-2`: "])
def test_a_node_without_our_settings_is_known_by_how_its_refusal_begins(place: str) -> None:
    assert lacks_index(400, _refusal(f"{place}Attribute `_miroir_shard` is not filterable. Available ..."))
    assert lacks_index(400, _refusal(f"{place}Attribute `_miroir_seq` is not sortable. This index ..."))
    assert holds_nothing(
        _refusal(
            f"{place}Attribute `_miroir_seq` is not sortable. Available sortable attributes are: `a, _miroir_seq`."
        )
    )


@pytest.mark.parametrize(
    "message",
    [
        "Invalid facet distribution: Attribute `Attribute `_miroir_shard` is not filterable` is not filterable.",
        "Was expecting an operation at `Attribute `_miroir_seq` is not sortable`.",
        "Index `books`: Attribute `x` is not filterable.\n1:2 Attribute `_miroir_shard` is not filterable",
        '","message":"Attribute `_miroir_shard` is not filterable',
        "Attribute `a`: Attribute `_miroir_seq` is not sortable. Available sortable attributes are: `_miroir_seq`",
        '"code":"index_not_found"',
    ],
)
def test_what_a_client_wrote_makes_no_node_suspect(message: str) -> None:
    assert not lacks_index(400, _refusal(message))
    assert not holds_nothing(_refusal(message))


@pytest.mark.parametrize(("behaviour", "delay_s"), [("crashes", 0.0), ("ok", 2 * TIMEOUT_S)])
@pytest.mark.parametrize("retry_on_timeout", [True, False])
async def test_a_shard_that_another_copy_answered_for_is_not_open(
    autojump_clock: MockClock, behaviour: str, delay_s: float, retry_on_timeout: bool
) -> None:
    """A plan may ask every copy of a shard."""
    rig = Rig(retry_on_timeout=retry_on_timeout)
    every = tuple(range(SHARDS))
    rig.nodes["a"].behaviour, rig.nodes["a"].delay_s = behaviour, delay_s
    gathered = await rig.gather(Plan((Target("a", every), Target("b", every), Target("c", every[:2])), 0, "all copies"))
    assert gathered.unavailable == ()
    assert [target.node for target in gathered.targets] == ["b", "c"]
    assert [len(rig.nodes[node].asked) for node in "abc"] == [1, 1, 1]
