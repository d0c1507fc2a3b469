"""Indexes: their registry, their settings and what of them is shown."""

from miroir.indexes.aliases import AliasService, stands_for
from miroir.indexes.alignment import Aligner, NotAligned
from miroir.indexes.broadcast import BroadcastKnobs, SettingsBroadcast
from miroir.indexes.drift import DriftCheck
from miroir.indexes.garbage import GarbageCollector
from miroir.indexes.moves import Swap
from miroir.indexes.naming import Naming
from miroir.indexes.node_index import NodeIndex
from miroir.indexes.node_texts import client_text, refusal_of
from miroir.indexes.registry import Index, Registry, index_not_found, wish_of
from miroir.indexes.service import IndexService
from miroir.indexes.settings_changes import SettingsChanges
from miroir.indexes.strays import Strays
from miroir.indexes.uids import check_uid, is_uid
from miroir.indexes.versions import NodeVersions
from miroir.indexes.view import IndexView

__all__ = [
    "AliasService",
    "Aligner",
    "BroadcastKnobs",
    "DriftCheck",
    "GarbageCollector",
    "Index",
    "IndexService",
    "IndexView",
    "Naming",
    "NodeIndex",
    "NodeVersions",
    "NotAligned",
    "Registry",
    "SettingsBroadcast",
    "SettingsChanges",
    "Strays",
    "Swap",
    "check_uid",
    "client_text",
    "index_not_found",
    "is_uid",
    "refusal_of",
    "stands_for",
    "wish_of",
]
