"""Upkeep: long work above reads and writes. Dumps are its first."""

from miroir.upkeep.dump_imports import DumpImports
from miroir.upkeep.import_progress import IfExists, import_view
from miroir.upkeep.import_steps import Doors, ImportKnobs

__all__ = ["Doors", "DumpImports", "IfExists", "ImportKnobs", "import_view"]
