"""Reading what a client sent: JSON bodies and query parameters, refused in a node's words.

A body that we cannot read is shown to a node, aimed at an index that does not exist, and the node's refusal is passed
on: its texts are its own business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar

import orjson

from miroir.api.messages import Request
from miroir.cluster import SCRATCH_INDEX, Verdicts
from miroir.errors import ApiError, miroir_error, node_error
from miroir.nodes import NodeCall

Value = TypeVar("Value")


async def refuse_body(verdicts: Verdicts, request: Request, template: str) -> NoReturn:
    """Raise a node's refusal of this request's body. `template` has `{index}` where the index stands."""
    content_type = request.headers.get(b"content-type", b"")
    target = template.replace("{index}", SCRATCH_INDEX)
    await verdicts.refuse(NodeCall("verdict", request.method, target, request.body, content_type))


async def json_object(verdicts: Verdicts, request: Request, template: str) -> dict[str, Any]:
    """The body as a JSON object, or a node's refusal of it. Numbers beyond 64 bits are floats here."""
    content_type = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    value: Any = None
    if content_type == b"application/json":
        with suppress(orjson.JSONDecodeError):
            value = orjson.loads(request.body)
    if not isinstance(value, dict):
        await refuse_body(verdicts, request, template)
    return value


class Query:
    """A query string's members, each read once; what is left over is refused with the names that are known."""

    def __init__(self, request: Request, known: Sequence[str], family: str) -> None:
        """`family`: the middle of the error codes, `invalid_{family}_{name}`."""
        self._values = dict(request.query())
        self._family = family
        for name in self._values:
            if name not in known:
                close = get_close_matches(name, known, 1, 0.7)
                hint = f"did you mean `{close[0]}`? " if close else ""
                listed = ", ".join(f"`{each}`" for each in known)
                raise node_error(400, "bad_request", f"Unknown parameter `{name}`: {hint}expected one of {listed}")

    def text(self, name: str) -> str | None:
        """As sent."""
        return self._values.get(name)

    def number(self, name: str, default: int) -> int:
        """A number from 0 to 2^64 - 1."""
        return self._read(name, default, parse_number)

    def optional_number(self, name: str) -> int | None:
        """The same, None when absent."""
        return self._read(name, None, parse_number)

    def boolean(self, name: str, default: bool) -> bool:
        """`true` or `false`."""
        return self._read(name, default, _parse_boolean)

    def listed(self, name: str, parse: Callable[[str], Value]) -> list[Value] | None:
        """Comma-separated values; None when absent, and for `*`, which means all."""
        text = self._values.get(name)
        if text is None or text == "*":
            return None

        def parse_all(value: str) -> list[Value]:
            return [parse(part.strip()) for part in value.split(",")]

        empty: list[Value] = []
        return self._read(name, empty, parse_all)

    def _read(self, name: str, default: Value, parse: Callable[[str], Value]) -> Value:
        text = self._values.get(name)
        if text is None:
            return default
        try:
            return parse(text)
        except ValueError as failure:
            code = f"invalid_{self._family}_{_snake(name)}"
            raise node_error(400, code, f"Invalid value in parameter `{name}`: {failure}") from None


def parse_number(text: str) -> int:
    """A non-negative integer, in a node's words otherwise."""
    if text.isascii() and text.isdigit() and int(text) < 1 << 64:
        return int(text)
    raise ValueError(f"could not parse `{text}` as a positive integer")


def _parse_boolean(text: str) -> bool:
    if text in ("true", "false"):
        return text == "true"
    raise ValueError(f"could not parse `{text}` as a boolean, expected either `true` or `false`")


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def is_count(body: Mapping[str, Any], name: str) -> bool:
    """Whether a member is absent or a number that counts."""
    value = body.get(name, 0)
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def no_node(what: str) -> ApiError:
    """503: nobody there to ask."""
    return miroir_error("miroir_shard_unavailable", f"No node can be reached to ask for {what}.")
