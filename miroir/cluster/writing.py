"""The write protocol: begin, send, commit.

Every change of an index goes this way, documents and settings alike. Nodes answer 202 and do the work later, cannot
compare-and-set, and keep a queue per index; so the store puts writes in order and remembers which copies have them:

begin   issues the stamp and leaves an intent in the store, before anything is sent;
refuse  where it is certain already that the write cannot stand: nothing is sent, nothing is applied;
send    gives each owner its part, once. What a node did not clearly accept or refuse is unknown, and never sent again;
commit  takes every in-sync copy that did not accept out of `in_sync`, and registers the task, in one transaction. The
        write stands if enough in-sync copies accepted it; only then is it acknowledged.

Whatever interrupts this between begin and commit leaves an intent behind; it is expired, and its shards are verified.
What becomes of the node tasks afterwards is settlement (`miroir.tasks`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import trio

from miroir.cluster.holds import Holds
from miroir.cluster.lanes import Lanes, Place
from miroir.cluster.placement import Placement
from miroir.cluster.quorum import QuorumPolicy, beyond_reach, quorums, short_groups
from miroir.cluster.state import Cluster
from miroir.errors import ApiError, miroir_error
from miroir.nodes import Accepted, NodeCall, Outcome, Refused, Unconfirmed, Unknown, Unsent
from miroir.store import (
    Begin,
    Commit,
    Committed,
    IndexFrozen,
    Intent,
    IntentGone,
    MappingChanged,
    NewTask,
    NodeTask,
    NoQuorum,
    ShardCopies,
    Store,
    StoreUnavailable,
    TaskRow,
    current_claim,
)
from miroir.telemetry import get_logger

_log = get_logger(__name__)

Calls = Callable[[Intent, tuple[int, ...]], Sequence[NodeCall]]
"""The requests one node gets, given the intent and the shards it owns of those written."""


Prepare = Callable[[Intent, Collection[tuple[int, ...]]], Awaitable[None]]
"""Work towards the requests that is too much for the event loop, given the intent and the shards of each node."""


class NodeRefusal(Exception):
    """Every node that answered refused the write, and nothing happened anywhere. `body` is a node's error."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"refused with {status}")
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Operation:
    """A change of some shards of one physical index. `task` is registered with the node tasks filled in.

    One that is not `repeatable` must not be done twice, and is refused under an `Idempotency-Key` of which an earlier
    attempt may have done it (`AttemptedBefore`).

    `nodes`: a change of no documents, for these nodes as a whole; `shards` is empty. It stands if any node accepted it
    and none refused: who missed it is for the caller to find out.
    """

    index_uid: str
    physical_uid: str
    index_shards: int
    shards: tuple[int, ...]
    calls: Calls
    task: NewTask
    repeatable: bool = True
    prepare: Prepare | None = None
    nodes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """The write stands. `short_groups` lack floor(RF/2)+1 copies of some shard that took it."""

    task: TaskRow
    short_groups: tuple[int, ...]


@dataclass(slots=True)
class _Sending:
    """What has come of a write so far."""

    accepted: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    node_tasks: list[NodeTask] = field(default_factory=list)
    refused: dict[str, Refused] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    took: set[str] = field(default_factory=set)
    unknown: bool = False


class Writer:
    """Carries operations through the protocol. `follow` is told of each task that stands."""

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        holds: Holds,
        lanes: Lanes,
        follow: Callable[[TaskRow], None],
        *,
        peer: str,
        policy: QuorumPolicy,
        node_timeout_s: float,
        patience_s: float,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._holds = holds
        self._lanes = lanes
        self._follow = follow
        self._peer = peer
        self._policy = policy
        self._node_timeout_s = node_timeout_s
        self._patience_s = patience_s

    async def write(self, operation: Operation) -> Written:
        """Begin, send, commit.

        Raises `NodeRefusal`, `MappingChanged` when the name no longer stands for the index (nothing was sent),
        `AttemptedBefore` (nor then), and `ApiError`: 503 `miroir_no_quorum` when the write does not stand,
        `miroir_index_frozen`, `miroir_overloaded` when the store is away.
        """
        placement = self._cluster.placement(operation.index_shards)
        parts = _parts(placement, operation.shards)
        for node in operation.nodes or ():
            parts[node] = ()
        places: dict[str, Place] = {}

        def take_places(_: Intent) -> None:
            for node in parts:
                places[node] = self._lanes.join(node, operation.physical_uid)

        try:
            intent = await self._holds.begin(
                Begin(
                    index_uid=operation.index_uid,
                    physical_uid=operation.physical_uid,
                    shards=operation.shards,
                    topology_version=placement.topology_version,
                    peer=self._peer,
                    claim=current_claim() if operation.task.origin == "client" else None,
                    repeatable=operation.repeatable,
                ),
                take_places,
                patience_s=self._patience_s,
            )
        except IndexFrozen:
            raise miroir_error(
                "miroir_index_frozen",
                f"Writes to index `{operation.index_uid}` are stopped: its nodes do not agree on its settings. They "
                "are brought into line by themselves as soon as that can be done.",
            ) from None
        except StoreUnavailable as failure:
            raise _store_away(failure) from failure
        sending = _Sending()
        try:
            if operation.prepare is not None:
                await operation.prepare(intent, set(parts.values()))
            await self._refuse_in_vain(operation, intent, placement, places)
            await self._send(operation, intent, parts, places, sending)
            committed = await self._conclude(operation, intent, placement, sending)
        except (ApiError, NodeRefusal):
            raise  # concluded: it does not stand, and the intent is gone
        except BaseException as interruption:
            # What was sent may have arrived; nobody was told that it stands. Its shards must be looked at. Whatever it
            # was: a cancellation amid the sending comes as a group.
            await self._abandon(intent, verify=bool(sending.asked))
            if isinstance(interruption, StoreUnavailable):
                raise _store_away(interruption) from interruption
            raise
        finally:
            for place in places.values():
                place.leave()
        self._follow(committed.task)
        return Written(committed.task, short_groups(placement, _frozen(sending.accepted, operation.shards)))

    # -- refuse ------------------------------------------------------------------------------------------------------

    async def _refuse_in_vain(
        self, operation: Operation, intent: Intent, placement: Placement, places: dict[str, Place]
    ) -> None:
        """503 `miroir_no_quorum` where too few trusted copies of some shard would be sent anything.

        That is no guess about who is there: `_send_part` sends nothing to a node that is not usable at its turn, and
        this looks at those alone whose turn is now. Nor can another copy be trusted by the time of the commit: none
        joins `in_sync` while an intent to its shard is open.
        """
        left_out = {node for node, place in places.items() if place.is_first and not self._cluster.usable(node)}
        if not left_out or not operation.shards:
            return
        ways = quorums(placement, operation.shards, self._policy)
        lost = beyond_reach(ways, self._cluster.in_sync(operation.physical_uid), places.keys() - left_out)
        if lost:
            await self._store.withdraw(intent.stamp, verify=False)
            raise _no_quorum(lost, few=self._policy == "majority", in_part=False)

    # -- send --------------------------------------------------------------------------------------------------------

    async def _send(
        self,
        operation: Operation,
        intent: Intent,
        parts: dict[str, tuple[int, ...]],
        places: dict[str, Place],
        sending: _Sending,
    ) -> None:
        async with trio.open_nursery() as nursery:
            for node, shards in parts.items():
                nursery.start_soon(self._send_part, operation, intent, node, shards, places.get(node), sending)

    async def _send_part(
        self,
        operation: Operation,
        intent: Intent,
        node: str,
        shards: tuple[int, ...],
        place: Place | None,
        sending: _Sending,
    ) -> None:
        sending.asked.add(node)
        incarnation = self._cluster.incarnations.get(node, "")
        outcomes: Sequence[Outcome] = [Unsent("an earlier write holds the node up")]
        try:
            with trio.move_on_after(self._node_timeout_s) as waiting:
                if place is not None:
                    await place.turn()
            if not waiting.cancelled_caught:
                outcomes = await self._send_calls(node, operation.calls(intent, shards))
        finally:
            if place is not None:
                place.leave()
        taken = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
        sending.node_tasks += [NodeTask(node, incarnation, outcome.task_uid, shards) for outcome in taken]
        if len(taken) == len(outcomes):
            sending.took.add(node)
            for shard in shards:
                sending.accepted[shard].add(node)
            return
        last = outcomes[-1]
        _log.warning("write not taken", node_id=node, outcome=type(last).__name__, reason=getattr(last, "reason", None))
        if isinstance(last, Refused) and not taken:
            sending.refused[node] = last
        elif isinstance(last, Unknown) or taken:
            sending.unknown = True

    async def _send_calls(self, node: str, calls: Sequence[NodeCall]) -> list[Outcome]:
        """Send them in order until one is not accepted."""
        outcomes: list[Outcome] = []
        for call in calls:
            outcomes.append(await self._send_confirmed(node, call))
            if not isinstance(outcomes[-1], Accepted):
                break
        return outcomes

    async def _send_confirmed(self, node: str, call: NodeCall) -> Outcome:
        """Send it once the disk was looked at; look again when a connection is found lost in the very moment."""
        outcome: Outcome = Unsent("the node is not available")
        deadline = trio.current_time() + self._node_timeout_s
        while self._cluster.usable(node):
            with trio.CancelScope(deadline=deadline) as confirming:
                await self._cluster.confirmed_or_lost(node)
            if confirming.cancelled_caught or not self._cluster.usable(node):
                return Unsent("the node's disk could not be confirmed")
            outcome = Unknown(f"no answer within {self._node_timeout_s:g} s")
            with trio.move_on_after(self._node_timeout_s):
                outcome = await self._cluster.clients[node].enqueue(call)
            if not isinstance(outcome, Unconfirmed):
                break
        return outcome

    # -- commit ------------------------------------------------------------------------------------------------------

    async def _conclude(
        self, operation: Operation, intent: Intent, placement: Placement, sending: _Sending
    ) -> Committed:
        refused_by_some = operation.nodes is not None and sending.refused
        if refused_by_some or not sending.took:
            await self._store.withdraw(intent.stamp, verify=sending.unknown)
            if refused_by_some or (sending.refused and not sending.unknown):
                first = min(sending.refused)
                raise NodeRefusal(sending.refused[first].status, sending.refused[first].body)
            raise _no_quorum(operation.shards, in_part=sending.unknown)
        while True:
            try:
                # Shielded: a commit that is cancelled while it runs may stand, and nobody would follow its task.
                with trio.CancelScope(shield=True):
                    return await self._store.commit(self._commit(operation, intent, placement, sending))
            except NoQuorum as failure:
                raise _no_quorum(failure.shards, few=True) from None
            except IntentGone:
                raise _no_quorum(operation.shards) from None
            except MappingChanged:
                placement = await self._reroute(operation, intent, placement, sending)

    async def _reroute(
        self, operation: Operation, intent: Intent, placement: Placement, sending: _Sending
    ) -> Placement:
        """Write owners changed since begin: give the new ones their part too."""
        renewed = self._cluster.placement(operation.index_shards)
        if renewed.topology_version == placement.topology_version:
            await self._store.withdraw(intent.stamp, verify=True)
            raise miroir_error(
                "miroir_no_quorum", "The index or the topology changed while this was being written. Send it again."
            )
        missing = {
            node: shards for node, shards in _parts(renewed, operation.shards).items() if node not in sending.asked
        }
        await self._send(operation, intent, missing, {}, sending)
        return renewed

    def _commit(self, operation: Operation, intent: Intent, placement: Placement, sending: _Sending) -> Commit:
        return Commit(
            stamp=intent.stamp,
            topology_version=placement.topology_version,
            owners={shard: placement.owners[shard] for shard in operation.shards},
            accepted=_frozen(sending.accepted, operation.shards),
            quorums=quorums(placement, operation.shards, self._policy),
            task=replace(
                operation.task,
                node_tasks=tuple(sending.node_tasks),
                physical_uid=operation.physical_uid,
                stamp=intent.stamp,
            ),
        )

    async def _abandon(self, intent: Intent, *, verify: bool) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 2.0):
            try:
                await self._store.withdraw(intent.stamp, verify=verify)
            except StoreUnavailable:
                _log.warning("intent left behind", stamp=intent.stamp)


def _parts(placement: Placement, shards: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Node -> the shards among `shards` that it owns, for every write owner."""
    parts: defaultdict[str, list[int]] = defaultdict(list)
    for shard in shards:
        for node in placement.owners[shard]:
            parts[node].append(shard)
    return {node: tuple(parts[node]) for node in sorted(parts)}


def _frozen(accepted: dict[int, set[str]], shards: tuple[int, ...]) -> ShardCopies:
    return {shard: frozenset(accepted.get(shard, ())) for shard in shards}


def _no_quorum(shards: Sequence[int], *, few: bool = False, in_part: bool = True) -> ApiError:
    """`few`: some copies may have taken it, but not as many trusted ones as `scatter.write_quorum` asks for.

    `in_part`: not known to have been applied nowhere.
    """
    listed = ", ".join(map(str, shards[:10])) + (", ..." if len(shards) > 10 else "")
    who = f"{'too few trusted copies' if few else 'no trusted copy'} of shard {listed}" if shards else "no node"
    return miroir_error(
        "miroir_no_quorum",
        f"The write does not stand: {who} could take it. "
        f"{'It may have been applied in part; send' if in_part else 'Nothing of it was applied; send'} "
        "it again once the nodes are back.",
    )


def _store_away(failure: StoreUnavailable) -> ApiError:
    _log.error("store away", reason=str(failure))
    return miroir_error("miroir_overloaded", "The task store cannot be reached; writes wait for it. Try again shortly.")
