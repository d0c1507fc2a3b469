"""The base of every section, and the few kinds of value that knobs are made of.

Sizes are bytes, times carry their unit in the knob's name. Bounds are wide on purpose: they refuse what cannot work,
not what is unusual.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

_MAX_INT: Final = 2**53 - 1  # what JSON numbers carry exactly


class Section(BaseModel):
    """A group of knobs: immutable, and strict about names. Errors never repeat what was written (it may be secret)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class MayHoldCredentials:
    """Marks a URL that may carry a password: hidden in `config show`, in `repr`, and never in an error."""


def _not_a_bool(value: Any) -> Any:
    # YAML's `yes` would otherwise become the number 1.
    if isinstance(value, bool):
        raise ValueError("true or false does not fit here")  # noqa: TRY004 - pydantic collects ValueError only
    return value


def _finite(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        raise ValueError("only what JSON can say is allowed here") from None
    return value


def _url(value: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("not a valid URL") from None
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise ValueError(f"expected {' or '.join(scheme + '://host:port' for scheme in schemes)}")
    if any(character.isspace() or not character.isprintable() for character in value):
        raise ValueError("a URL has no spaces or control characters")
    return value


def _http_url(value: str) -> str:
    return _url(value, ("http", "https"))


def _node_address(value: str) -> str:
    _url(value, ("http", "https"))
    parts = urlsplit(value)
    if "@" in parts.netloc:
        raise ValueError("the address must not carry a user or a password; the node key comes from the environment")
    if parts.port is None:
        raise ValueError("the port is missing; expected http://host:port")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("the address ends after the port; expected http://host:port")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _store_url(value: str) -> str:
    return value and _url(value, ("redis", "rediss"))


def _nats_url(value: str) -> str:
    return _url(value, ("nats", "tls"))


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise ValueError("expected an IP address or a network such as 10.0.0.0/8") from None
    return value


def _origin(value: str) -> str:
    if value in {"*", "same-origin"}:
        return value
    _http_url(value)
    if urlsplit(value).path or value.endswith(("?", "#")) or "@" in value:
        raise ValueError('expected an origin such as https://shop.example, "same-origin" or "*"')
    return value


def _schedule(value: str) -> str:
    if not re.fullmatch(r"every [1-9][0-9]{0,5}[smhd]", value):
        raise ValueError("expected `every N` with the unit s, m, h or d, such as `every 6h`")
    return value


def _window(value: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d UTC", value):
        raise ValueError("expected a window such as 02:00-06:00 UTC")
    return value


def _rate(value: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}/(second|minute|hour|day)", value):
        raise ValueError("expected a rate such as 10/minute")
    return value


def _name(pattern: str, example: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"expected {example}")
        return value

    return AfterValidator(check)


Count = Annotated[int, BeforeValidator(_not_a_bool), Field(ge=0, le=_MAX_INT)]
Positive = Annotated[int, BeforeValidator(_not_a_bool), Field(ge=1, le=_MAX_INT)]
Port = Annotated[int, BeforeValidator(_not_a_bool), Field(ge=0, le=65535)]
"""A TCP port; 0 lets the system pick a free one."""
Share = Annotated[float, BeforeValidator(_not_a_bool), Field(ge=0, le=1)]
Weight = Annotated[float, BeforeValidator(_not_a_bool), Field(ge=0, le=1e12)]
Factor = Annotated[float, BeforeValidator(_not_a_bool), Field(ge=1, le=1e6)]
Text = Annotated[str, Field(min_length=1)]
NodeId = Annotated[str, _name(r"[A-Za-z0-9._-]{1,128}", "letters, digits, `.`, `_` or `-`")]
IndexUid = Annotated[str, _name(r"[A-Za-z0-9_-]{1,400}", "letters, digits, `_` or `-`")]
EnvName = Annotated[str, _name(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable")]
OptionalEnvName = Annotated[str, _name(r"([A-Za-z_][A-Za-z0-9_]*)?", "the name of an environment variable, or nothing")]
HeaderName = Annotated[str, _name(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "the name of an HTTP header")]
UrlPath = Annotated[str, _name(r"(/[A-Za-z0-9._~-]+)+", "a path such as /ui/search, without a slash at its end")]
Color = Annotated[str, _name(r"#[0-9a-fA-F]{6}", "a colour such as #2563eb")]
CspSource = Annotated[str, _name(r"[!-+\--:<-~]+", "one CSP source, without spaces, `,` or `;`")]
JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_finite)]
DocumentId = Annotated[str | int, BeforeValidator(_not_a_bool)]
NodeAddress = Annotated[str, AfterValidator(_node_address)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
SecretHttpUrl = Annotated[str, AfterValidator(_http_url), MayHoldCredentials()]
StoreUrl = Annotated[str, AfterValidator(_store_url), MayHoldCredentials()]
NatsUrl = Annotated[str, AfterValidator(_nats_url), MayHoldCredentials()]
Network = Annotated[str, AfterValidator(_network)]
Origin = Annotated[str, AfterValidator(_origin)]
Schedule = Annotated[str, AfterValidator(_schedule)]
Window = Annotated[str, AfterValidator(_window)]
Rate = Annotated[str, AfterValidator(_rate)]
