"""Tenant tokens made by hand, good and bad ones."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from typing import Any

_DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def part(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def token(claims: Any, key: str, *, algorithm: str = "HS256", header: Any = None, signature: str | None = None) -> str:
    """A JWT; `claims` and `header` as values, or as bytes that are taken as they are."""
    header = {"alg": algorithm, "typ": "JWT"} if header is None else header
    texts = (each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, claims))
    message = ".".join(map(part, texts))
    if signature is None:
        digest = _DIGESTS.get(algorithm, hashlib.sha256)
        signature = part(hmac.new(key.encode(), message.encode(), digest).digest())
    return f"{message}.{signature}"
