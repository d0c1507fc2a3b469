"""The two doors. The master key and API keys open the data plane, an admin key the control plane; neither the other.

Keys are compared in constant time, as digests: neither their content nor their length shows in the time it takes.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from hmac import compare_digest
from time import time_ns
from typing import Final, Protocol

from miroir.errors import ApiError, miroir_error, node_error
from miroir.security.access import EVERYTHING, Access, invalid_key, refused, token_access
from miroir.security.actions import KEYS, Action
from miroir.security.keyring import ApiKey, Keyring, digest
from miroir.security.tenant_tokens import TenantToken, Unreadable, looks_like_token, read_token

_SCHEME: Final = b"Bearer"
_BLANKS: Final = frozenset(range(0x20, 0x7F)) | {0x09}
_LENDING: Final[frozenset[Action]] = frozenset({"search", "chatCompletions"})
"""What a tenant token may be used for. Elsewhere it is a key that nobody knows."""
_TOKENS_KEPT: Final = 4096


def bearer(authorization: bytes | None) -> bytes | None:
    """The key in an `Authorization: Bearer` header; None without the header or with another scheme.

    To the letter, as a node reads it: `bearer` is another scheme, a second space is part of the key, and a header with
    a byte that is no visible ASCII is none at all.
    """
    if authorization is None:
        return None
    scheme, _, key = authorization.partition(b" ")
    return key if scheme == _SCHEME and _BLANKS.issuperset(key) else None


class Strangers(Protocol):
    """Who can be asked about a credential that nobody here knows."""

    async def look(self) -> None:
        """See to it that what nodes know of keys is known here, if that is not too soon after the last time."""

    async def refusal(self, token: bytes) -> ApiError | None:
        """Why a node refuses this tenant token; None if it does not, or nobody is there to say."""


class DataDoor:
    """The Meilisearch API. Without a master key it stands open, as a node in development does, but for keys."""

    def __init__(self, master_key: str | None, keyring: Keyring, strangers: Strangers) -> None:
        self._digest = None if not master_key else digest(master_key.encode())
        self._keyring = keyring
        self._strangers = strangers
        self._tokens: OrderedDict[bytes, tuple[TenantToken, ApiKey, Access]] = OrderedDict()

    def admit(self, authorization: bytes | None, action: Action, uid: str | None) -> Access | None:
        """What the request may touch; `uid`: the index its path names.

        Raises as a node would: 401 `missing_authorization_header`, 403 `invalid_api_key`. None: nobody here knows the
        credential, `ask` must.
        """
        key = bearer(authorization)
        if self._digest is None and (key or authorization is None):
            if action in KEYS:
                raise _no_master_key()
            return EVERYTHING
        if key is None:
            raise node_error(
                401,
                "missing_authorization_header",
                "The Authorization header is missing. It must use the bearer authorization method.",
                type="auth",
            )
        if not key or self._digest is None:
            raise invalid_key()
        known_by = digest(key)
        if compare_digest(known_by, self._digest):
            return EVERYTHING
        found = self._keyring.find(known_by)
        if found is not None:
            return _permitted(found, found.access, action, uid)
        if looks_like_token(key) and action in _LENDING:
            return self._lent(key, known_by, action, uid)
        return None

    def is_master(self, authorization: bytes | None) -> bool:
        """Whether this is the master key, or there is none and everybody may do everything."""
        key = bearer(authorization)
        if self._digest is None:
            return bool(key) or authorization is None
        return key is not None and compare_digest(digest(key), self._digest)

    async def ask(self, authorization: bytes | None, action: Action, uid: str | None) -> Access:
        """The same of a credential that `admit` did not know, after asking the nodes."""
        await self._strangers.look()
        access = self.admit(authorization, action, uid)
        if access is not None:
            return access
        if not self._keyring.complete:
            raise miroir_error("miroir_shard_unavailable", "No node can be reached to ask for this key. Try again.")
        key = bearer(authorization) or b""
        refusal = None
        if looks_like_token(key) and action in _LENDING:
            refusal = await self._strangers.refusal(key)
        raise refusal or invalid_key()

    def _lent(self, credential: bytes, known_by: bytes, action: Action, uid: str | None) -> Access | None:
        """What a tenant token gives. Read and checked once, and then known for as long as its key is the same."""
        kept = self._tokens.get(known_by)
        if kept is None or self._keyring.of_uid(kept[1].uid) is not kept[1]:
            try:
                token = read_token(credential)
            except Unreadable:
                return None
            key = self._keyring.of_uid(token.key_uid)
            if key is None:
                return None
            if not token.signed_with(key.value):
                raise refused("Could not decode tenant token, InvalidSignature.")
            kept = self._tokens[known_by] = (token, key, token_access(key.access, token.rules))
            if len(self._tokens) > _TOKENS_KEPT:
                self._tokens.popitem(last=False)
        token, key, access = kept
        now_s = time_ns() // 1_000_000_000
        if token.expires_s is not None and now_s > token.expires_s:
            raise refused(f"Tenant token expired. Was valid up to `{token.expires_s}` and we're now `{now_s}`.")
        return _permitted(key, access, action, uid)


def _permitted(key: ApiKey, access: Access, action: Action, uid: str | None) -> Access:
    """The access, or a node's refusal: first of the index, then of everything else."""
    if uid is not None and not access.covers(uid):
        if access.rules is None:
            listed = _listed(access.indexes.listed)
            raise refused(f"The API key cannot acces the index `{uid}`, authorized indexes are {listed}.")
        if not access.lends(uid):
            listed = _listed(sorted(access.rules))
            raise refused(f"The provided tenant token cannot acces the index `{uid}`, allowed indexes are {listed}.")
        raise refused(f"The API key used to generate this tenant token cannot acces the index `{uid}`.")
    if not key.allows(action, time_ns()):
        raise invalid_key()
    return access


def _listed(names: Sequence[str]) -> str:
    return json.dumps(list(names), ensure_ascii=False)


def _no_master_key() -> ApiError:
    message = (
        "Meilisearch is running without a master key. To access this API endpoint, you must have set a master key at "
        "launch."
    )
    return node_error(401, "missing_master_key", message, type="auth")


class AdminDoor:
    """`/_miroir`. Without an admin key configured it stays shut."""

    def __init__(self, admin_keys: Sequence[tuple[str, str]]) -> None:
        self._digests = [(label, digest(key.encode())) for label, key in admin_keys]

    def admit(self, authorization: bytes | None, admin_key: bytes | None) -> str:
        """The label of the key in `Authorization: Bearer` or `X-Admin-Key`; 401 `miroir_invalid_auth` otherwise."""
        given = admin_key if admin_key is not None else bearer(authorization)
        if given is not None:
            known_by = digest(given)
            matching = [label for label, known in self._digests if compare_digest(known_by, known)]
            if matching:
                return matching[0]
        if not self._digests:
            message = "No admin key is configured: set MIROIR_ADMIN_API_KEY and restart."
        elif given is not None:
            message = "The admin key that was sent is not one of this Miroir's (MIROIR_ADMIN_API_KEY)."
        else:
            message = "Send an admin key as `Authorization: Bearer KEY` or `X-Admin-Key: KEY`."
        raise miroir_error("miroir_invalid_auth", message)
