"""The ASGI vocabulary: https://asgi.readthedocs.io/en/latest/specs/www.html, spec version 2.4."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

BodyLimit: TypeAlias = Callable[[Scope], int | None]
"""Largest body in bytes that a request with this scope may carry; `None` is no limit."""


class ClientDisconnected(OSError):
    """`send` was called after the client had gone. An `OSError`, as the ASGI specification asks."""
