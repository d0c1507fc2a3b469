"""The control plane: what operators see and do, under `/_miroir`."""

from miroir.admin.app import create_admin_app
from miroir.admin.dump_upload import DumpUpload, is_upload
from miroir.admin.overview import shards_view, topology_view
from miroir.admin.settings_preview import SettingsPreview

__all__ = ["DumpUpload", "SettingsPreview", "create_admin_app", "is_upload", "shards_view", "topology_view"]
