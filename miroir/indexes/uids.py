"""Names that an index may have."""

from __future__ import annotations

import re
from typing import Final

from miroir.errors import node_error

_UID: Final = re.compile(r"[A-Za-z0-9_-]{1,512}")
_HIDDEN_PREFIX: Final = "_miroir"


def is_uid(uid: str) -> bool:
    """Whether a node takes this for an index uid."""
    return _UID.fullmatch(uid) is not None


def check_uid(uid: str) -> None:
    """Refuse what a node would refuse as an index uid, and our own hidden names."""
    if is_uid(uid) and not uid.startswith(_HIDDEN_PREFIX):
        return
    reason = (
        "is reserved for Miroir itself"
        if uid.startswith(_HIDDEN_PREFIX)
        else "is not a valid index uid. Index uid can be an integer or a string containing only alphanumeric "
        "characters, hyphens (-) and underscores (_), and can not be more than 512 bytes"
    )
    raise node_error(400, "invalid_index_uid", f"`{uid}` {reason}.")
