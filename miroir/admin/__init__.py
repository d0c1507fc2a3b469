"""The control plane: what operators see and do, under `/_miroir`."""

from miroir.admin.app import create_admin_app
from miroir.admin.overview import shards_view, topology_view

__all__ = ["create_admin_app", "shards_view", "topology_view"]
