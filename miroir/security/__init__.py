"""Security: who may come in by which door, and what they may touch."""

from miroir.security.access import EVERYTHING, Access
from miroir.security.actions import Action
from miroir.security.doors import AdminDoor, DataDoor
from miroir.security.key_service import KeyService
from miroir.security.key_sync import KeySync
from miroir.security.keyring import Keyring
from miroir.security.tenant_tokens import parse_uid

__all__ = [
    "EVERYTHING",
    "Access",
    "Action",
    "AdminDoor",
    "DataDoor",
    "KeyService",
    "KeySync",
    "Keyring",
    "parse_uid",
]
