"""The store's protocol: everything that must outlive a process, as typed async methods over frozen rows.

The write protocol lives here as three transactions, `begin`, `commit` and `settle`. The store puts the writes of a
shard in order and keeps which copies may be trusted; nothing else may.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from miroir.store.rows import (
    AliasFlip,
    AliasRow,
    Begin,
    Claim,
    Commit,
    Committed,
    HoldRow,
    IdempotencyRow,
    IndexMove,
    IndexRow,
    Intent,
    JobRow,
    KeyRow,
    Moved,
    NewTask,
    NodeIdentity,
    NodeSettings,
    Repair,
    Settle,
    ShardCopies,
    TaskPage,
    TaskQuery,
    TaskRow,
    TopologyRow,
    WebhookRow,
)


class StoreError(Exception):
    """Base of what the store raises."""


class StoreUnavailable(StoreError):
    """The store cannot be reached or written. Nothing was changed, or what was changed cannot be known."""


class SchemaVersionAhead(StoreError):
    """The store was written by a newer program than this one (`schema_version_ahead`)."""


class Held(StoreError):
    """A hold covers what the write wants. Wait, at most until `until_ms`, and begin again."""

    def __init__(self, operation: str, until_ms: int) -> None:
        super().__init__(f"held by {operation}")
        self.operation = operation
        self.until_ms = until_ms


class IndexFrozen(StoreError):
    """Writes to the index are stopped until its nodes agree on their settings again (`IndexRow.frozen`)."""


class MappingChanged(StoreError):
    """The name no longer stands for that physical index, or the topology moved on: route again."""


class NameTaken(StoreError):
    """An alias and an index cannot have one name."""


class IntentGone(StoreError):
    """The intent was expired meanwhile; its shards are being verified. Begin again."""


class KeyTaken(StoreError):
    """The request's `Idempotency-Key` stands for another request, or for a task already: look at it again."""


class AttemptedBefore(StoreError):
    """An earlier attempt under this `Idempotency-Key` may have done it, and it must not be done twice."""


class NoQuorum(StoreError):
    """Some shard has too few in-sync copies that accepted. The intent is gone and its shards are queued to verify."""

    def __init__(self, shards: Sequence[int]) -> None:
        super().__init__(f"no quorum for shards {list(shards)}")
        self.shards = tuple(shards)


class Store(Protocol):
    """One backend. Every method may raise `StoreUnavailable`; every change is durable when the call returns.

    A call that is cancelled does not wait for its change, which may or may not have been made (`begin` excepted). What
    must not stay in doubt is asked in a shielded scope: above all `commit`, whose task may otherwise be registered
    without anybody having been told.

    Under a claim (`claimed`) whatever registers a task of origin `client` binds the claim's key to it in the same
    transaction, and raises `KeyTaken` if the key stands for something else by now.
    """

    # -- life --------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Finish what was asked and close. Later calls raise `StoreUnavailable`."""

    # -- topology ----------------------------------------------------------------------------------------------------

    async def load_topology(self) -> TopologyRow | None:
        """The newest topology, or None in a store that never had one."""

    async def save_topology(self, row: TopologyRow) -> bool:
        """Store `row` if its version is the present one + 1 (1 in an empty store); False, and no change, otherwise."""

    # -- indexes -----------------------------------------------------------------------------------------------------

    async def list_indexes(self) -> list[IndexRow]:
        """Every index, by uid."""

    async def insert_index(
        self, row: IndexRow, in_sync: ShardCopies, claim: Claim | None = None
    ) -> tuple[IndexRow, bool]:
        """Insert if absent, with the first in-sync sets of its physical index: `(row, True)`; else `(present, False)`.

        `physical_uid` in `row` is taken as it is (see `next_physical_uid`), `revision` is given by the store. An empty
        set is a `ValueError`. `claim`: its key keeps in mind that it has made this index (`IdempotencyRow.made`).
        """

    async def next_physical_uid(self, uid: str) -> str:
        """A name for a new physical index, never given out before: the uid itself the first time."""

    async def update_index(self, row: IndexRow) -> IndexRow:
        """Replace the row of `row.uid`; raises `MappingChanged` if its `revision` is not the present one."""

    async def delete_index(self, uid: str, physical_uid: str, task: NewTask) -> TaskRow:
        """Forget the index, its in-sync sets, repairs and intents, and register `task`, in one transaction.

        The physical index is kept as garbage (`list_garbage`). Raises `MappingChanged` if the name does not stand for
        it.
        """

    async def take_back_index(self, row: IndexRow, task: NewTask, creation: int | None = None) -> bool:
        """`delete_index`, of an index whose creation came to nothing; `creation` is the task of that, if there is one.

        False, and nothing changes, where a client has been told of another task of that index or name since.
        """

    async def move_indexes(
        self, moves: Sequence[IndexMove], task: NewTask, on_moved: Callable[[Moved], None]
    ) -> TaskRow:
        """Let physical indexes stand behind other names, all at once, and register `task`, in one transaction.

        `on_moved` is called like `begin`'s `on_begun`. Raises `MappingChanged` if a name does not stand for its
        physical index, or one is taken that no index leaves; `Held` while a write to one of them is between begin and
        commit: it would land behind another name than it was meant for.
        """

    async def replace_index(self, physical_uid: str, row: IndexRow, in_sync: ShardCopies) -> IndexRow:
        """Let the name stand for another, new physical index, with its first in-sync sets; the old one is garbage.

        Raises `MappingChanged` if the name does not stand for `physical_uid` in the revision of `row`, and `Held` as
        `move_indexes` does.
        """

    async def given_out(self, names: Collection[str]) -> frozenset[str]:
        """Those of these names that were ever given to a physical index, or tried (`next_physical_uid`)."""

    async def list_garbage(self) -> list[str]:
        """Physical indexes that no name stands for any more and that nodes may still hold."""

    async def forget_garbage(self, physical_uid: str) -> None:
        """Every node has dropped it. The name is still never given out again."""

    async def list_node_settings(self) -> list[NodeSettings]:
        """What is known of every node's settings."""

    async def save_node_settings(self, rows: Sequence[NodeSettings]) -> None:
        """Keep them, each in place of what was known of its index and node."""

    # -- aliases -----------------------------------------------------------------------------------------------------

    async def list_aliases(self) -> list[AliasRow]:
        """Every alias, by name."""

    async def put_alias(self, row: AliasRow, keep: int) -> AliasRow:
        """Create or flip an alias; it gets the next version, and its history keeps the newest `keep`.

        `row.version` is that of the row it replaces, 0 for none: `MappingChanged` if that is not so. `NameTaken` where
        an index has the name; so say those that create or move indexes, the other way round.
        """

    async def delete_alias(self, name: str, version: int) -> None:
        """Forget it and its history. `MappingChanged` if that is not its version."""

    async def alias_history(self, name: str) -> list[AliasFlip]:
        """What it stood for, newest first; the first is what it stands for now."""

    # -- copies ------------------------------------------------------------------------------------------------------

    async def load_in_sync(self) -> dict[str, dict[int, frozenset[str]]]:
        """Physical index -> shard -> nodes whose copy has everything that was ever acknowledged."""

    async def drop_node_copies(self, node: str, lost_as: str) -> dict[str, dict[int, frozenset[str]]]:
        """A node lost its disk: it leaves every in-sync set, and each of its shards is queued for repair.

        A set never becomes empty: where the node was the only member it stays there under the name `lost_as`, which is
        no node's, so that the shard is unavailable and says so. Returns the sets that changed.
        """

    def watch_in_sync(self, watcher: Callable[[str, ShardCopies], None]) -> None:
        """Have `watcher(physical_uid, sets)` told of every change of a set that this process makes.

        It is called on the Trio thread, in the order of the transactions, before any of those who asked for them goes
        on: what it keeps is never more trusting than the store.
        """

    async def leave_in_sync(
        self, physical_uid: str, lost: ShardCopies, reason: str, *, since: int
    ) -> dict[int, frozenset[str]]:
        """These copies are not what they should be: they leave the sets and are queued for repair (`Repair.since`).

        A set never becomes empty: where all its members are named they stay, and are queued for verification. Returns
        the sets that changed.
        """

    async def join_in_sync(self, physical_uid: str, shard: int, node: str, hold: str, source: str) -> frozenset[str]:
        """The copy is complete: it joins the set, its repairs leave the queue. Returns the new set.

        Only under the hold of operation `hold` on that shard, and with no intent open on it: `MappingChanged`
        otherwise, as for a shard nobody knows.
        """

    async def allocate_stale(
        self, physical_uid: str, expected: ShardCopies, node: str, others: ShardCopies
    ) -> dict[int, frozenset[str]]:
        """Trust the node's copy of these shards alone, whatever it lacks; returns the new sets.

        `expected`: the sets as they are seen, `MappingChanged` if they are not so. Copies on `others` (shard -> nodes)
        are queued to be made equal to it.
        """

    async def queue_repairs(
        self, physical_uid: str, shards: Mapping[int, str | None], reason: str, *, since: int = 0
    ) -> None:
        """Ask for a repair of each shard (of one copy, or with None a verification of all). Asking twice is once."""

    async def list_repairs(self) -> list[Repair]:
        """The queue, oldest first."""

    async def finish_repair(self, repair: Repair) -> None:
        """Take it off the queue, if it was not asked for again since (`queued_ms` differs)."""

    # -- the write protocol ------------------------------------------------------------------------------------------

    async def begin(self, begin: Begin, on_begun: Callable[[Intent], None]) -> Intent:
        """Announce a write: issue its stamp, leave its intent.

        `on_begun` is called on the caller's Trio thread, synchronously and in the order of the stamps, before any of
        the waiting calls go on: there a write takes its places in its lanes, so lanes and stamps agree. A call that was
        cancelled before leaves no intent and gets no `on_begun`; once `on_begun` was called, `begin` returns. If it
        raises, the intent is withdrawn and the exception passes. Raises `Held`, `IndexFrozen` for a write to shards, or
        `MappingChanged` when the name does not stand for the physical index or the topology version is not the present
        (0: there is none).

        With a claim the key counts an attempt, and keeps its count until the write is withdrawn with nothing done.
        Raises `Held` while another attempt is open, `KeyTaken`, and `AttemptedBefore` for what must not be done twice.
        """

    async def commit(self, commit: Commit) -> Committed:
        """Decide the write: it stands, or `NoQuorum`; `MappingChanged` (intent kept), `IntentGone`.

        In one transaction: copies that missed it leave `in_sync` and are queued for repair, the task is registered (and
        bound to the key of the claim it is made under), the intent removed. A set never becomes empty: a shard none of
        whose in-sync copies accepted has no quorum. When the write does not stand nothing of that happens but the
        intent's removal, and all its shards are queued for verification.

        A copy of the set that is no write owner any more missed the write too: it leaves the set, unrepaired. A shard
        absent from `quorums` needs one live copy. The task gets the intent's stamp and physical index.
        """

    async def withdraw(self, stamp: int, *, verify: bool) -> None:
        """Remove an intent that will not be committed: nothing was sent, or every node refused (`verify=False`).

        `verify=True` queues its shards for verification.
        """

    async def open_intents(self) -> list[Intent]:
        """Every intent, oldest first."""

    async def expire_intents(self, older_than_ms: int, dead_peers: frozenset[str]) -> list[Intent]:
        """Remove intents begun before, or left by, a dead peer; queue their shards for verification; return them."""

    async def issue_stamp(self) -> int:
        """A stamp of its own, newer than every one before: max(the clock in microseconds, last + 1)."""

    # -- holds -------------------------------------------------------------------------------------------------------

    async def place_hold(self, hold: HoldRow) -> None:
        """From now on begins of those shards raise `Held`. Replaces the operation's earlier hold on that index."""

    async def release_hold(self, operation: str, physical_uid: str) -> None:
        """Let begins go on."""

    # -- tasks -------------------------------------------------------------------------------------------------------

    async def add_task(self, task: NewTask) -> TaskRow:
        """Register a task that is no write to shards, or one that failed before anything was sent.

        `ValueError` if it is terminal and has no `finished_at`.
        """

    async def get_task(self, uid: int) -> TaskRow | None:
        """One task, whatever its origin."""

    async def list_tasks(self, query: TaskQuery) -> TaskPage:
        """Tasks of origin `client` that match. `ValueError` for a time that is none."""

    async def add_cancelation(self, task: NewTask, query: TaskQuery, types: frozenset[str]) -> TaskRow:
        """Register a task that cancels, and mark for it every open client task of those types that matches.

        One transaction, so nothing slips between. `matchedTasks` of its details becomes the number of client tasks
        that match, open or not. A task that is marked already keeps its first mark. A mark shows as `canceled_by`,
        and lasts if the task ends canceled: `settle` wipes it off otherwise.
        """

    async def tasks_being_canceled(self, canceled_by: int) -> list[int]:
        """Uids of the open tasks marked for that cancelation, oldest first."""

    async def add_deletion(self, task: NewTask, query: TaskQuery) -> TaskRow:
        """Register a task that deletes tasks. `matchedTasks` of its details becomes the number that match."""

    async def delete_tasks(self, query: TaskQuery, before: int, limit: int) -> list[TaskRow]:
        """Forget terminal client tasks that match and whose uid is below `before`: at most `limit`, oldest first.

        Returns what was forgotten; an empty list means that nothing is left.
        """

    async def open_tasks(self) -> list[TaskRow]:
        """Every task that is not terminal, oldest first, whatever its origin."""

    async def update_open_task(self, task: TaskRow) -> None:
        """Record how far an open task has come: status, node tasks, details, `started_at`.

        No change once it is terminal. `ValueError` for a terminal status: only `settle` closes a task.
        """

    async def settle(self, settle: Settle) -> tuple[TaskRow, dict[int, frozenset[str]]]:
        """Close a task; its `lost` copies leave `in_sync` (never the last one) and are queued for repair.

        A set of which every copy is lost stays whole, for none is better than another, and is queued for verification.
        A cancelation's mark stays only on a task that ends canceled. A task of an index that does not succeed has
        something to follow (`list_follow_ups`). Earlier tasks are renamed by `names`. Returns the task and the in-sync
        sets that changed. A task already terminal is returned as it is; an unknown one is a `KeyError`.
        """

    async def list_follow_ups(self) -> list[TaskRow]:
        """Tasks of an index that failed or were canceled, and whose follow-up is not done, oldest first."""

    async def finish_follow_up(self, task_uid: int) -> None:
        """What follows from the task is done."""

    async def settle_change(
        self, settle: Settle, row: IndexRow, nodes: Sequence[NodeSettings]
    ) -> tuple[TaskRow, IndexRow]:
        """`settle` a change of settings and commit what it changed, in one transaction: `update_index`, and `nodes`.

        Raises `MappingChanged` like `update_index`; then nothing has happened.
        """

    async def prune_tasks(self, finished_before: str, limit: int) -> int:
        """Forget terminal tasks finished before that time, at most `limit`, oldest first.

        Never an open task, nor one whose follow-up is not done.
        """

    async def count_tasks(self) -> dict[str, int]:
        """Status -> number of client tasks, for every status."""

    # -- nodes -------------------------------------------------------------------------------------------------------

    async def load_identities(self) -> dict[str, NodeIdentity]:
        """Node id -> what is known of its disk: from `save_identity`, and from the node tasks of the newest tasks."""

    async def save_identity(self, identity: NodeIdentity) -> None:
        """Keep it; of one incarnation the highest task uid wins."""

    async def cluster_id(self) -> str:
        """This cluster's id: made at random when the store was, never changed."""

    # -- keys --------------------------------------------------------------------------------------------------------

    async def list_keys(self) -> list[KeyRow]:
        """Every key that ever was, by uid."""

    async def put_key(self, row: KeyRow) -> None:
        """Keep it, in the place of what was kept under its uid."""

    async def forget_key(self, uid: str) -> None:
        """It never came to be: no node has taken it."""

    # -- webhooks ----------------------------------------------------------------------------------------------------

    async def list_webhooks(self) -> list[WebhookRow]:
        """Every webhook, by uuid."""

    async def put_webhook(self, row: WebhookRow) -> None:
        """Insert or replace."""

    async def delete_webhook(self, uuid: str) -> None:
        """Forget it, if it is there."""

    # -- jobs --------------------------------------------------------------------------------------------------------

    async def list_jobs(self, type: str) -> list[JobRow]:
        """Every job of that type, oldest first."""

    async def put_job(self, row: JobRow) -> None:
        """Insert or replace."""

    async def delete_job(self, id: str) -> None:
        """Forget it, if it is there."""

    # -- experimental features ---------------------------------------------------------------------------------------

    async def load_features(self) -> dict[str, bool]:
        """The features clients switched, on or off; empty when none ever was."""

    async def save_features(self, features: Mapping[str, bool]) -> None:
        """Replace them."""

    # -- idempotency -------------------------------------------------------------------------------------------------

    async def find_idempotency(self, key: bytes, now_ms: int) -> IdempotencyRow | None:
        """What the key stands for, unless expired."""

    async def count_idempotency(self) -> int:
        """How many keys are remembered."""

    async def prune_idempotency(self, now_ms: int, keep_at_most: int) -> int:
        """Forget expired rows, and the oldest beyond the limit."""
