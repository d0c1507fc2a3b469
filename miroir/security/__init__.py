"""Security: who may come in by which door, and what they may touch."""

from miroir.security.access import EVERYTHING, Access
from miroir.security.actions import Action
from miroir.security.doors import AdminDoor, DataDoor

__all__ = ["EVERYTHING", "Access", "Action", "AdminDoor", "DataDoor"]
