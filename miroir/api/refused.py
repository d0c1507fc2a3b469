"""Routes of a node that Miroir refuses: 501 with the reason and a way out, behind the same door as any other route.

The table is the source of a section of `docs/compatibility.md`, which `python -m tests.compat.page` writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from miroir.api.messages import Request, Response
from miroir.api.routing import Endpoint, Router
from miroir.errors import miroir_error
from miroir.security import Action


@dataclass(frozen=True, slots=True)
class Refused:
    """A path, its methods with what a key must allow for them on a node, and what is said to who asks."""

    template: str
    methods: Mapping[str, Action]
    why: str
    instead: str


_NODES_OWN: Final = "A node's numbers count what that node holds: shares, copies and hidden fields."
_LOGS: Final = "Logs are those of one process, and of several it would be unclear whose."
_READ_THE_LOGS: Final = (
    "Miroir writes its own to standard output, as `logging` in the configuration says. Ask a node for its own."
)
_CHAT: Final = "A chat searches inside one node, which holds a share of the documents and does not know the others'."
_CHAT_YOURSELF: Final = "Let your application talk to the language model, and give it searches here as a tool."
_ALONE: Final = "Which nodes there are, and what lies on which, is what Miroir itself sees to."

REFUSED: Final = (
    Refused(
        "/metrics",
        {"GET": "metrics.get"},
        _NODES_OWN,
        "Scrape `/metrics` on Miroir's metrics port (`server.metrics_port`), and the nodes directly.",
    ),
    Refused(
        "/network",
        {"GET": "network.get", "PATCH": "network.update"},
        _ALONE,
        "Name the nodes under `nodes` in the configuration.",
    ),
    Refused(
        "/export",
        {"POST": "export"},
        "Each node would send its share with the hidden fields in it, and each copy once more.",
        "Read the documents with `POST /indexes/{uid}/documents/fetch` and add them to the other server.",
    ),
    Refused("/logs/stream", {"POST": "metrics.get", "DELETE": "metrics.get"}, _LOGS, _READ_THE_LOGS),
    Refused("/logs/stderr", {"POST": "metrics.get"}, _LOGS, _READ_THE_LOGS),
    Refused(
        "/tasks/{uid}/documents",
        {"GET": "tasks.get"},
        "What a task was sent with lies in parts on several nodes, which forget it when they are done with it.",
        "Keep what you send until its task has ended.",
    ),
    Refused("/chats", {"GET": "chats.get"}, _CHAT, _CHAT_YOURSELF),
    Refused("/chats/{workspace}", {"GET": "chats.get", "DELETE": "chats.delete"}, _CHAT, _CHAT_YOURSELF),
    Refused(
        "/chats/{workspace}/settings",
        {"GET": "chatsSettings.get", "PATCH": "chatsSettings.update", "DELETE": "chatsSettings.update"},
        _CHAT,
        _CHAT_YOURSELF,
    ),
    Refused("/chats/{workspace}/chat/completions", {"POST": "chatCompletions"}, _CHAT, _CHAT_YOURSELF),
)


def register_refused(router: Router) -> None:
    """Put the routes up."""
    for refused in REFUSED:
        for method, action in refused.methods.items():
            router.add(method, refused.template, _refusing(refused), action=action)


def _refusing(refused: Refused) -> Endpoint:
    async def refuse(request: Request) -> Response:
        message = f"Miroir does not serve `{request.method} {request.path}`. {refused.why} {refused.instead}"
        raise miroir_error("miroir_not_supported", message)

    return refuse
