"""Security: who may come in by which door."""

from miroir.security.doors import AdminDoor, DataDoor

__all__ = ["AdminDoor", "DataDoor"]
