"""The two doors. The master key opens the data plane, an admin key the control plane, and neither opens the other.

Keys are compared in constant time, as digests: neither their content nor their length shows in the time it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest

from miroir.errors import miroir_error, node_error

_SCHEME = b"Bearer"


def bearer(authorization: bytes | None) -> bytes | None:
    """The key in an `Authorization: Bearer` header; None without the header or with another scheme.

    To the letter, as a node reads it: `bearer` is another scheme, a second space is part of the key.
    """
    if authorization is None:
        return None
    scheme, _, key = authorization.partition(b" ")
    return key if scheme == _SCHEME else None


class DataDoor:
    """The Meilisearch API. Without a master key it stands open, as a node's in development."""

    def __init__(self, master_key: str | None) -> None:
        self._digest = None if not master_key else sha256(master_key.encode()).digest()

    def admit(self, authorization: bytes | None) -> None:
        """Raise as a node would: 401 `missing_authorization_header`, 403 `invalid_api_key`."""
        if self._digest is None:
            return
        key = bearer(authorization)
        if key is None:
            raise node_error(
                401,
                "missing_authorization_header",
                "The Authorization header is missing. It must use the bearer authorization method.",
                type="auth",
            )
        if not compare_digest(sha256(key).digest(), self._digest):
            raise node_error(403, "invalid_api_key", "The provided API key is invalid.", type="auth")


class AdminDoor:
    """`/_miroir`. Without an admin key configured it stays shut."""

    def __init__(self, admin_keys: Sequence[tuple[str, str]]) -> None:
        self._digests = [(label, sha256(key.encode()).digest()) for label, key in admin_keys]

    def admit(self, authorization: bytes | None, admin_key: bytes | None) -> str:
        """The label of the key in `Authorization: Bearer` or `X-Admin-Key`; 401 `miroir_invalid_auth` otherwise."""
        given = admin_key if admin_key is not None else bearer(authorization)
        if given is not None:
            digest = sha256(given).digest()
            matching = [label for label, known in self._digests if compare_digest(digest, known)]
            if matching:
                return matching[0]
        hint = "" if self._digests else " No admin key is configured: set MIROIR_ADMIN_API_KEY and restart."
        raise miroir_error(
            "miroir_invalid_auth",
            f"Send an admin key as `Authorization: Bearer KEY` or `X-Admin-Key: KEY`.{hint}",
        )
