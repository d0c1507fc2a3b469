"""Aliases: names that stand for an index, so that another can take its place in one step, or for several to be read.

An alias answers like an index of its own name. It points to a name, not to a physical index: after a swap it stands for
what its target's name stands for then. Flips are versions of its row; a write or a read that began before one meets the
index, or the indexes, of before, wholly.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Final, NoReturn

import trio

from miroir.errors import miroir_error, node_error
from miroir.indexes.alias_conflicts import conflict
from miroir.indexes.registry import Registry
from miroir.indexes.service import IndexService
from miroir.indexes.uids import check_uid
from miroir.store import AliasKind, AliasRow, MappingChanged, NameTaken, Store
from miroir.tasks import now_text

_KIND: Final[Mapping[AliasKind, str]] = {
    "single": "one index, and stays so: name just one (`current_uid`)",
    "multi": "several indexes, and stays so: name a list (`target_uids`; `--multi` for a list of one)",
}
"""What an alias of a kind stands for, and how an operator names that."""


def stands_for(kind: AliasKind, targets: Sequence[str]) -> dict[str, Any]:
    """What an alias stands for, as shown to operators."""
    return {"current_uid": targets[0] if kind == "single" else None, "target_uids": list(targets)}


class AliasService:
    """Creates, flips and deletes aliases. `flipped(name)` is told of each flip, for metrics."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        indexes: IndexService,
        flipped: Callable[[str], None],
        *,
        keep_flips: int,
        require_target: bool,
    ) -> None:
        self._store = store
        self._registry = registry
        self._indexes = indexes
        self._flipped = flipped
        self._keep = keep_flips
        self._require_target = require_target

    async def load(self) -> None:
        """Start with what the store holds. Before anybody asks for an index."""
        self._registry.load_aliases(await self._store.list_aliases())

    def every(self) -> list[AliasRow]:
        """Every alias, by name."""
        return self._registry.aliases()

    def get(self, name: str) -> AliasRow:
        """One; 404 `miroir_alias_not_found`."""
        row = self._registry.alias(name)
        if row is None:
            raise miroir_error("miroir_alias_not_found", f"Alias `{name}` not found.")
        return row

    async def history(self, name: str) -> list[dict[str, Any]]:
        """What it stood for, newest first, as shown to operators."""
        kind = self.get(name).kind
        flips = await self._store.alias_history(name)
        return [{"version": flip.version, **stands_for(kind, flip.targets), "at": flip.at} for flip in flips]

    async def create(self, name: str, kind: AliasKind, targets: Sequence[str]) -> AliasRow:
        """A new alias; 409 `miroir_alias_conflict` for a name that is taken."""
        check_uid(name)
        async with self._changing(name, *targets):
            if self._registry.alias(name) is not None:
                raise conflict(f"Alias `{name}` already exists. Flip it instead.")
            now = now_text()
            return await self._put(AliasRow(name, kind, tuple(targets), 0, None, now, now))

    async def flip(self, name: str, kind: AliasKind, targets: Sequence[str], version: int | None = None) -> AliasRow:
        """Let it stand for another index, or other indexes. With `version` only if that is its present one."""
        async with self._changing(name, *targets):
            present = self._editable(name)
            if version is not None and version != present.version:
                raise conflict(f"Alias `{name}` has version {present.version}, not {version}.")
            if kind != present.kind:
                raise conflict(f"Alias `{name}` stands for {_KIND[present.kind]}.")
            row = await self._put(replace(present, targets=tuple(targets), updated_at=now_text()))
            self._flipped(name)
            return row

    async def delete(self, name: str) -> AliasRow:
        """Forget it; the index stays."""
        async with self._changing(name):
            row = self._editable(name)
            with trio.CancelScope(shield=True):  # the store and what we remember of it must not part
                try:
                    await self._store.delete_alias(name, row.version)
                except MappingChanged:
                    await self._overtaken(name)
                self._registry.remove_alias(name)
            return row

    async def _put(self, row: AliasRow) -> AliasRow:
        if len(set(row.targets)) != len(row.targets):
            raise conflict(f"Alias `{row.name}` would stand for one index twice.")
        for target in row.targets:
            check_uid(target)
            if self._registry.alias(target) is not None:
                raise conflict(f"`{target}` is an alias; an alias stands for an index.")
            if self._require_target and not self._registry.is_index(target):
                raise node_error(404, "index_not_found", f"Index `{target}` not found.")
        with trio.CancelScope(shield=True):  # the store and what we remember of it must not part
            try:
                row = await self._store.put_alias(row, self._keep)
            except NameTaken:
                raise conflict(f"`{row.name}` is the name of an index.") from None
            except MappingChanged:
                await self._overtaken(row.name)
            self._registry.put_alias(row)
        return row

    def _editable(self, name: str) -> AliasRow:
        """One that no policy keeps; 409 `miroir_alias_conflict`, or 404."""
        row = self.get(name)
        if row.managed_by is not None:
            raise conflict(f"Alias `{name}` is kept by `{row.managed_by}`. Change that instead.")
        return row

    async def _overtaken(self, name: str) -> NoReturn:
        await self.load()
        raise conflict(f"Alias `{name}` was changed by another process. Look at it again.")

    @asynccontextmanager
    async def _changing(self, *names: str) -> AsyncIterator[None]:
        """Nobody else makes, deletes or renames what is called so."""
        async with AsyncExitStack() as stack:
            for name in sorted(set(names)):
                await stack.enter_async_context(self._indexes.changing(name))
            yield
