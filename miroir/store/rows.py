"""What the store keeps, as frozen rows. Times in `*_ms` are milliseconds of the Unix clock, `stamp`s microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from miroir.errors import ErrorBody

TaskStatus = Literal["enqueued", "processing", "succeeded", "failed", "canceled"]
NodeTaskStatus = Literal["open", "succeeded", "failed", "canceled", "lost"]
ShardCopies = Mapping[int, frozenset[str]]
"""Shard number -> ids of nodes. Of in-sync copies, of owners, of copies to repair."""


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One index as clients know it, and the physical index behind its name.

    `settings` is the client's wish: the JSON text of every setting the client ever set (`{}` when none). `revision`
    grows with each change of the row, over all indexes; a write commits only if the mapping it began with still holds.
    """

    uid: str
    physical_uid: str
    primary_key: str | None
    shards: int
    settings: bytes
    settings_version: int
    frozen: bool
    created_at: str
    updated_at: str
    revision: int = 0


AliasKind: TypeAlias = Literal["single", "multi"]
"""Whether an alias stands for one index, to read and write, or for several, to read."""


@dataclass(frozen=True, slots=True)
class AliasRow:
    """A name that stands for indexes: `targets` are their uids. `version` grows with each flip, from 1."""

    name: str
    kind: AliasKind
    targets: tuple[str, ...]
    version: int
    managed_by: str | None
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class AliasFlip:
    """What an alias stood for from `at` on, under that version."""

    version: int
    targets: tuple[str, ...]
    at: str


@dataclass(frozen=True, slots=True)
class IndexMove:
    """A physical index goes from the name `uid` to the name `to`.

    `updated_at`: the row's from now on; None: it stays as it is.
    """

    uid: str
    physical_uid: str
    to: str
    updated_at: str | None = None


@dataclass(frozen=True, slots=True)
class NodeTask:
    """A task on one node that is a part of one of ours: `(node, incarnation, uid)` is unique for ever."""

    node: str
    incarnation: str
    uid: int
    shards: tuple[int, ...]
    status: NodeTaskStatus = "open"


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as clients see it (`GET /tasks/{uid}`), and the node tasks it is made of.

    `enqueued_at`, `started_at` and `finished_at` are RFC 3339 texts in UTC. `origin` is `client` or the name of the
    part of Miroir that asked; only `client` tasks are shown. `stamp` is that of the write (0: none).
    """

    uid: int
    index_uid: str | None
    type: str
    status: TaskStatus
    node_tasks: tuple[NodeTask, ...]
    details: Mapping[str, Any]
    error: ErrorBody | None
    enqueued_at: str
    started_at: str | None = None
    finished_at: str | None = None
    canceled_by: int | None = None
    session: str | None = None
    origin: str = "client"
    physical_uid: str | None = None
    stamp: int = 0


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task about to be registered; the store gives it its uid. Terminal at birth if `status` is."""

    index_uid: str | None
    type: str
    details: Mapping[str, Any]
    enqueued_at: str
    status: TaskStatus = "enqueued"
    error: ErrorBody | None = None
    started_at: str | None = None
    finished_at: str | None = None
    node_tasks: tuple[NodeTask, ...] = ()
    session: str | None = None
    origin: str = "client"
    physical_uid: str | None = None
    stamp: int = 0


@dataclass(frozen=True, slots=True)
class Moved:
    """Indexes under their new names, the task that says so, and the tasks that were open on them before it."""

    task: TaskRow
    rows: tuple[IndexRow, ...]
    waits_for: frozenset[int]


@dataclass(frozen=True, slots=True)
class NameChange:
    """What earlier tasks are called after a move: those of `old` are of `new`; `both`: and the other way round.

    In the details of earlier swaps the two names are always exchanged.
    """

    old: str
    new: str
    both: bool


@dataclass(frozen=True, slots=True)
class TopologyRow:
    """The topology as JSON text (its shape is `cluster.topology`'s business) under a version that only grows."""

    version: int
    topology: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """That a request is made under an `Idempotency-Key`. `key` tells clients apart, `fingerprint` tells requests."""

    key: bytes
    fingerprint: bytes
    expires_ms: int


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """What of a task a write is answered with."""

    uid: int
    index_uid: str | None
    type: str
    enqueued_at: str


@dataclass(frozen=True, slots=True)
class IdempotencyRow:
    """What a key stands for: a `task`, or None while no attempt came to its end.

    `attempts`: how many began and may have done something. `made`: the physical index one of them has put into the
    registry.
    """

    key: bytes
    fingerprint: bytes
    attempts: int
    made: str | None
    task: TaskSummary | None
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Begin:
    """What a write announces before it sends anything. One that is not `repeatable` must not be done twice."""

    index_uid: str
    physical_uid: str
    shards: tuple[int, ...]
    topology_version: int
    peer: str
    claim: Claim | None = None
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Intent:
    """A write between begin and commit. Its `stamp` is unique and names it."""

    stamp: int
    index_uid: str
    physical_uid: str
    shards: tuple[int, ...]
    topology_version: int
    peer: str
    begun_ms: int
    idempotency_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Quorum:
    """One way a shard's write can stand: at least `needed` in-sync copies among `nodes` accepted it."""

    nodes: frozenset[str]
    needed: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The outcome of a write's sending.

    `accepted`: shard -> nodes that took the write. `owners`: shard -> every write owner. `quorums`: shard -> the ways
    it can stand, one of which must hold. An in-sync owner of a shard that is not among `accepted` leaves `in_sync`.
    """

    stamp: int
    topology_version: int
    owners: ShardCopies
    accepted: ShardCopies
    quorums: Mapping[int, tuple[Quorum, ...]]
    task: NewTask


@dataclass(frozen=True, slots=True)
class Committed:
    """The write stands. `in_sync` holds the new sets of the shards that lost a copy."""

    task: TaskRow
    in_sync: ShardCopies = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settle:
    """All node tasks of a task are terminal, judged per shard: `lost` copies leave `in_sync` and are repaired.

    `applied`: shard -> copies that have it. Where none of those is trusted (any more), the task has failed after all,
    with the error `doubt`: the copies that have it will be made like the trusted ones. `names`: of the tasks before it.
    """

    task_uid: int
    status: TaskStatus
    node_tasks: tuple[NodeTask, ...]
    details: Mapping[str, Any]
    error: ErrorBody | None
    started_at: str | None
    finished_at: str
    lost: ShardCopies = field(default_factory=dict)
    applied: ShardCopies = field(default_factory=dict)
    doubt: ErrorBody | None = None
    names: tuple[NameChange, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The version of an index's settings a node was last seen to have, and the fingerprint of what it showed then."""

    physical_uid: str
    node: str
    version: int
    fingerprint: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Repair:
    """A shard whose copies must be looked at. `node` names the copy that left `in_sync`; None: verify all copies.

    `since` is the stamp of the first write in question: of documents written from then on, equal versions do not mean
    equal contents, for an update may have met a document that was not what it should have been.
    """

    physical_uid: str
    shard: int
    node: str | None
    reason: str
    queued_ms: int
    since: int = 0


@dataclass(frozen=True, slots=True)
class HoldRow:
    """Writes to these shards (none: the whole name) wait until the hold is released or `until_ms` has passed."""

    operation: str
    physical_uid: str
    shards: tuple[int, ...]
    until_ms: int


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What we know of a node's disk: who it was when last seen, and how far its task uids had come."""

    node: str
    incarnation: str
    highest_task_uid: int


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key, without its value. Texts as clients see them; `actions` and `indexes` in the client's order.

    `making`: some node may have it, and it is none yet; nobody was told of it. `deleted` ones are kept for ever, so
    that a node that was away when it was deleted cannot bring it back. `default_key` names the one of a new node's own
    keys that it stands for.
    """

    uid: str
    state: Literal["making", "live", "deleted"]
    name: str | None
    description: str | None
    actions: tuple[str, ...]
    indexes: tuple[str, ...]
    expires_at: str | None
    created_at: str
    updated_at: str
    default_key: str | None = None


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """An address that is told of every task that ends, and the headers it is sent with that."""

    uuid: str
    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class JobRow:
    """Long work that a process takes up again where another left it. `params` never change, `progress` does.

    The shapes of both, and the phases of a job in progress, are the business of whoever carries out that `type`.
    """

    id: str
    type: str
    state: Literal["queued", "in_progress", "completed", "failed", "canceled"]
    params: Mapping[str, Any]
    progress: Mapping[str, Any]
    error: ErrorBody | None
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Filters of `GET /tasks`; None is no filter. Times are RFC 3339 texts, exclusive. `start`: uid to begin at.

    `canceled_by` means tasks that did end canceled, not those that still wait for it. `visible`: index uids, and
    beginnings of some with a star behind, that who asks may see; of tasks of others, and of none, he sees and changes
    nothing, though a listing's total counts them.
    """

    uids: frozenset[int] | None = None
    statuses: frozenset[str] | None = None
    types: frozenset[str] | None = None
    index_uids: frozenset[str] | None = None
    canceled_by: frozenset[int] | None = None
    before_enqueued_at: str | None = None
    after_enqueued_at: str | None = None
    before_started_at: str | None = None
    after_started_at: str | None = None
    before_finished_at: str | None = None
    after_finished_at: str | None = None
    start: int | None = None
    limit: int = 20
    reverse: bool = False
    visible: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class TaskPage:
    """One page of tasks, newest first unless reversed; `total` counts all that match, whatever the page."""

    tasks: tuple[TaskRow, ...]
    total: int
    next: int | None
