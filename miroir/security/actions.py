"""Actions: what a route does, and what a key must be allowed to do for it.

A key names actions or families of them. What each name stands for is a node's own doing, asked of a node action by
action: `*.get` reads and searches everywhere but in the keys; `documents.*` adds, gets and deletes, while editing by
function takes `*`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, get_args

Action = Literal[
    "search",
    "documents.add",
    "documents.get",
    "documents.delete",
    "documents.edit",
    "indexes.create",
    "indexes.get",
    "indexes.update",
    "indexes.delete",
    "indexes.swap",
    "tasks.cancel",
    "tasks.delete",
    "tasks.get",
    "settings.get",
    "settings.update",
    "stats.get",
    "metrics.get",
    "dumps.create",
    "snapshots.create",
    "version",
    "keys.create",
    "keys.get",
    "keys.update",
    "keys.delete",
    "experimental.get",
    "experimental.update",
    "export",
    "network.get",
    "network.update",
    "chatCompletions",
    "chats.get",
    "chats.delete",
    "chatsSettings.get",
    "chatsSettings.update",
    "webhooks.get",
    "webhooks.update",
    "webhooks.delete",
    "webhooks.create",
]
"""What a route does. `documents.edit` is no name of a node's: only `*` covers it there, and so here."""

ACTIONS: Final[frozenset[Action]] = frozenset(get_args(Action))

KEYS: Final[frozenset[Action]] = frozenset({"keys.create", "keys.get", "keys.update", "keys.delete"})
"""What a server without a master key does not do."""

_READING: Final[frozenset[Action]] = frozenset(
    {action for action in ACTIONS - KEYS if action.endswith(".get")} | {"search", "version", "export"}
)


def covered(names: Iterable[str]) -> frozenset[Action]:
    """The actions that the names in a key stand for; a name that is unknown stands for none."""
    found: set[Action] = set()
    for name in names:
        if name == "*":
            return ACTIONS
        if name == "*.get":
            found |= _READING
        elif name.endswith(".*"):
            family = name[:-1]
            found |= {action for action in ACTIONS if action.startswith(family)} - {"documents.edit"}
        else:
            found |= {action for action in ACTIONS if action == name} - {"documents.edit"}
    return frozenset(found)
