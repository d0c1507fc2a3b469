"""Whose node this is: one document in a hidden index on the node's own disk."""

from __future__ import annotations

from typing import Final

import msgspec

META_INDEX: Final = "_miroir_meta"
IDENTITY_KEY: Final = "identity"


class Identity(msgspec.Struct, frozen=True):
    """The cluster a disk belongs to, the node it is, and a name of this life of the disk (new after a wipe)."""

    cluster_id: str
    node_id: str
    incarnation: str
    id: str = IDENTITY_KEY
