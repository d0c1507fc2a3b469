"""Tenant tokens: JWTs that a key's holder signs with it, to lend a part of what the key may search.

Read as a node reads them, which is neither all nor only what a JOSE library takes: `nbf`, `crit` and `typ` mean
nothing, an audience is refused, a claim given twice too, and the key is named by the payload. So this is the standard
library's HMAC and JSON and a node's own rules. Why a token that cannot be read cannot be is a node's to say: its texts
count columns.
"""

from __future__ import annotations

import hmac
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from miroir.security.access import Rules

_DIGESTS: Final[Mapping[str, str]] = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_URL_SAFE: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_MOST_SECONDS: Final = 1 << 63


class Unreadable(ValueError):
    """No tenant token that a node could read."""


@dataclass(frozen=True, slots=True)
class TenantToken:
    """A token that was read, its signature not looked at yet."""

    key_uid: str
    rules: Rules
    expires_s: int | None
    message: bytes
    signature: bytes
    digest: str

    def signed_with(self, key: str) -> bool:
        """Whether the holder of this key signed it. In constant time."""
        expected = hmac.digest(key.encode(), self.message, self.digest)
        return hmac.compare_digest(expected, self.signature)


def looks_like_token(credential: bytes) -> bool:
    """Whether it has the three parts of a JWT; a key has no dots."""
    return credential.count(b".") >= 2


def read_token(credential: bytes) -> TenantToken:
    """The token's claims. Raises `Unreadable`."""
    message, _, signature = credential.rpartition(b".")
    header_part, _, claims_part = message.rpartition(b".")
    header = _object(header_part)
    claims = _object(claims_part)
    digest = _DIGESTS.get(header["alg"]) if isinstance(header.get("alg"), str) else None
    if digest is None or not _sound_header(header):
        raise Unreadable("its header is none of ours")
    expires = claims.get("exp")
    if expires is not None and (type(expires) is not int or not -_MOST_SECONDS <= expires < _MOST_SECONDS):
        raise Unreadable("its `exp` is no number of seconds")
    if isinstance(claims.get("aud"), (str, list)):
        raise Unreadable("it is for an audience")
    return TenantToken(
        key_uid=_uid(claims.get("apiKeyUid")),
        rules=_rules(claims.get("searchRules")),
        expires_s=expires,
        message=message,
        signature=_signature(signature),
        digest=digest,
    )


def _sound_header(header: Mapping[str, Any]) -> bool:
    """Whether a node would read it: members it knows must be texts. Those with shapes of their own it shall judge."""
    if "jwk" in header or "x5c" in header:
        return False
    return all(isinstance(header.get(name), (str, type(None))) for name in _TEXTS)


_TEXTS: Final = ("typ", "cty", "jku", "kid", "x5u", "x5t", "x5t#S256")


def _object(part: bytes) -> dict[str, Any]:
    try:
        text = _unpacked(part)
        value = orjson.loads(text)
    except ValueError:
        raise Unreadable("a part of it is no JSON") from None
    if not isinstance(value, dict) or _repeats(text):
        raise Unreadable("a part of it is no object, or says a thing twice")
    return value


def _repeats(text: bytes) -> bool:
    """Whether an object has a member twice, but for rules about the same index: a node takes the last of those."""
    outermost: list[list[str]] = []
    repeated = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeated
        names = [name for name, _ in pairs]
        outermost[:] = [names]
        repeated = repeated or names.count("filter") > 1

    json.loads(text, object_pairs_hook=look)
    names = outermost[0]
    return repeated or len(set(names)) < len(names)


def _uid(value: object) -> str:
    if not isinstance(value, str):
        raise Unreadable("it names no key")
    uid = parse_uid(value)
    if uid is None:
        raise Unreadable("it names no key")
    return uid


def parse_uid(text: str) -> str | None:
    """The UUID in a text as a node reads one (simple, hyphenated, braced, URN), written in full; None if it is none."""
    match len(text):
        case 38 if text[0] == "{" and text[-1] == "}":
            text = text[1:-1]
        case 45 if text.startswith("urn:uuid:"):
            text = text[9:]
        case 32 if "-" not in text:
            text = f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return text.lower() if _UUID.fullmatch(text) else None


_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _rules(value: object) -> Rules:
    if isinstance(value, list) and all(isinstance(pattern, str) for pattern in value):
        return dict.fromkeys(value)
    if isinstance(value, dict):
        return {pattern: _filter(rule) for pattern, rule in value.items()}
    raise Unreadable("it has no rules")


def _filter(rule: object) -> Any:
    """The filter in a rule. A node's parser takes a list of one element for a rule as well."""
    if rule is None:
        return None
    if isinstance(rule, dict):
        return rule.get("filter")
    if isinstance(rule, list) and len(rule) == 1:
        return rule[0]
    raise Unreadable("a rule is none")


def _signature(part: bytes) -> bytes:
    """Its bytes; none where it is no base64, for then it is just a wrong one."""
    try:
        return _unpacked(part)
    except ValueError:
        return b""


def _unpacked(part: bytes) -> bytes:
    """base64url without padding, to the letter: no bit may be left over."""
    if not _URL_SAFE.issuperset(part) or len(part) % 4 == 1:
        raise ValueError("not base64url")
    unpacked = urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    if urlsafe_b64encode(unpacked).rstrip(b"=") != part:
        raise ValueError("not base64url")
    return unpacked
