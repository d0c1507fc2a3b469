"""What aliases forbid: a name is an alias's or an index's, and an index that an alias stands for keeps its own."""

from __future__ import annotations

from collections.abc import Iterable

from miroir.errors import ApiError, miroir_error
from miroir.indexes.registry import Registry, not_writable


def check_unaliased(registry: Registry, uids: Iterable[str]) -> None:
    """Refuse (409) what may be done to an index only, for a name that is an alias's."""
    for uid in uids:
        row = registry.alias(uid)
        if row is not None and row.kind == "multi":
            raise not_writable(row)
        if row is not None:
            raise conflict(f"`{uid}` is an alias of the index `{row.targets[0]}`. Name the index itself.")


def check_free_of_aliases(registry: Registry, uid: str) -> None:
    """Refuse (409 `miroir_alias_conflict`) to take away the name of an index that an alias stands for."""
    names = [row.name for row in registry.aliases() if uid in row.targets]
    if names:
        listed = ", ".join(f"`{name}`" for name in names)
        raise conflict(f"Index `{uid}` is what the alias {listed} stands for. Flip or delete the alias first.")


def conflict(message: str) -> ApiError:
    """409 `miroir_alias_conflict`."""
    return miroir_error("miroir_alias_conflict", message)
