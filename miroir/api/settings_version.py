"""`X-Miroir-Min-Settings-Version`: a client that must not be answered by settings older than it knows of."""

from __future__ import annotations

from typing import Final

from miroir.api.messages import Request
from miroir.errors import miroir_error
from miroir.indexes import Index

_MINIMUM: Final = b"x-miroir-min-settings-version"
_LONGEST: Final = 18
"""Digits; a longer number is taken for malformed."""


def check_version(request: Request, index: Index) -> None:
    """503 `miroir_settings_version_stale` if the client asks for a version that no node can be vouched to have.

    Nodes behind the committed version are left out of every read (`miroir.indexes.versions`), so it is enough to look
    at that. A malformed header is ignored.
    """
    wanted = request.headers.get(_MINIMUM)
    if wanted is None or not wanted.isdigit() or len(wanted) > _LONGEST:
        return
    if int(wanted) > index.row.settings_version:
        raise miroir_error(
            "miroir_settings_version_stale",
            f"The settings of index `{index.uid}` have version {index.row.settings_version}, "
            f"and version {int(wanted)} was asked for. Try again shortly.",
        )
