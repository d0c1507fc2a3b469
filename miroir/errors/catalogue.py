"""The codes: Meilisearch's, spoken with its own links, and ours, documented in `docs/errors.md`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from miroir.errors.api_error import ApiError

_NODE_LINK: Final = "https://docs.meilisearch.com/errors#{code}"
ERRORS_PATH: Final = "/_miroir/errors"
"""Where every Miroir serves `docs/errors.md` as a page. A path, of the server that gave the error: no other place is
known to be within its clients' reach."""


@dataclass(frozen=True, slots=True)
class CodeInfo:
    """What a code of ours always means: HTTP status, Meilisearch error type, seconds a client should wait."""

    status: int
    type: str
    retry_after_s: int | None = None


MIROIR_CODES: Final[dict[str, CodeInfo]] = {
    "miroir_reserved_field": CodeInfo(400, "invalid_request"),
    "miroir_reserved_token": CodeInfo(400, "invalid_request"),
    "miroir_primary_key_required": CodeInfo(400, "invalid_request"),
    "miroir_invalid_auth": CodeInfo(401, "auth"),
    "miroir_dump_invalid": CodeInfo(400, "invalid_request"),
    "miroir_alias_not_found": CodeInfo(404, "invalid_request"),
    "miroir_alias_conflict": CodeInfo(409, "invalid_request"),
    "miroir_dump_import_not_found": CodeInfo(404, "invalid_request"),
    "miroir_topology_conflict": CodeInfo(409, "invalid_request"),
    "miroir_dump_import_conflict": CodeInfo(409, "invalid_request"),
    "miroir_multi_alias_not_writable": CodeInfo(409, "invalid_request"),
    "miroir_not_supported": CodeInfo(501, "invalid_request"),
    "miroir_idempotency_key_reused": CodeInfo(409, "invalid_request"),
    "miroir_no_quorum": CodeInfo(503, "system", retry_after_s=1),
    "miroir_shard_unavailable": CodeInfo(503, "system", retry_after_s=1),
    "miroir_settings_version_stale": CodeInfo(503, "system", retry_after_s=1),
    "miroir_index_frozen": CodeInfo(503, "system", retry_after_s=10),
    "miroir_overloaded": CodeInfo(503, "system", retry_after_s=1),
    "miroir_timeout": CodeInfo(504, "system"),
}
"""Every code Miroir adds to Meilisearch's. `docs/errors.md` explains each; a test keeps the two lists equal."""


def miroir_error(code: str, message: str) -> ApiError:
    """One of our own errors; `KeyError` if the code is not in `MIROIR_CODES`."""
    info = MIROIR_CODES[code]
    headers = {} if info.retry_after_s is None else {"retry-after": str(info.retry_after_s)}
    return ApiError(info.status, message, code=code, type=info.type, link=f"{ERRORS_PATH}#{code}", headers=headers)


def node_error(status: int, code: str, message: str, *, type: str = "invalid_request") -> ApiError:
    """An error that a Meilisearch node would give in our place, with Meilisearch's own link."""
    return ApiError(status, message, code=code, type=type, link=_NODE_LINK.format(code=code))
