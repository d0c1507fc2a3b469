"""Routing: from method and path to an endpoint, in one walk over the path's parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

from miroir.api.messages import Request, Response
from miroir.security import Action

Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint, and its path as a template: the only form of a path that metrics may carry."""

    template: str
    endpoint: Endpoint
    action: Action | None
    """What a key must allow; None: no key is asked for."""
    reads: bool = False
    """It changes nothing, and is given up when its client leaves."""
    names_index: bool = False
    """Its first variable part is the index that a key must cover."""


@dataclass(slots=True)
class _Branch:
    fixed: dict[str, _Branch] = field(default_factory=dict)
    variable: _Branch | None = None
    routes: dict[str, Route] = field(default_factory=dict)


class Router:
    """A tree of path parts. A fixed part is preferred to a variable one."""

    def __init__(self) -> None:
        self._root = _Branch()

    def add(
        self, method: str, template: str, endpoint: Endpoint, *, action: Action | None, reads: bool | None = None
    ) -> None:
        """Register `/indexes/{uid}`-like templates; each `{...}` stands for one part. `reads` is true for a GET.

        `action`: what a key must allow, a node's own for the same route; None lets everybody in.
        """
        branch = self._root
        for part in _parts(template):
            if part.startswith("{"):
                if branch.variable is None:
                    branch.variable = _Branch()
                branch = branch.variable
            else:
                branch = branch.fixed.setdefault(part, _Branch())
        branch.routes[method] = Route(
            template,
            endpoint,
            action,
            reads=method == "GET" if reads is None else reads,
            names_index=template.startswith("/indexes/{"),
        )

    def find(self, method: str, path: str) -> tuple[Route, tuple[str, ...]] | int:
        """The route and the variable parts; 404 for an unknown path, 405 for an unknown method on a known one.

        Slashes at the ends and doubled ones do not count, and an escaped letter is the letter, as on a node.
        """
        branch = self._root
        params = []
        for part in _parts(path):
            following = branch.fixed.get(part)
            if following is None:
                following = branch.variable
                if following is None:
                    return 404
                params.append(part)
            branch = following
        route = branch.routes.get(method)
        if route is not None:
            return route, tuple(params)
        return 405 if branch.routes else 404

    def methods(self, path: str) -> tuple[str, ...]:
        """The methods that a known path takes, in alphabetical order; none for an unknown one."""
        branch = self._root
        for part in _parts(path):
            following = branch.fixed.get(part) or branch.variable
            if following is None:
                return ()
            branch = following
        return tuple(sorted(branch.routes))


def _parts(path: str) -> list[str]:
    """Decoded one by one: an escaped slash is part of a name."""
    parts = [part for part in path.split("/") if part]
    return [unquote(part, errors="replace") for part in parts] if "%" in path else parts
