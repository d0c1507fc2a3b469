"""Upkeep: long work above reads and writes. Dumps are its first."""

from miroir.upkeep.dump_imports import DumpImports
from miroir.upkeep.dumps import Dumped, Dumps
from miroir.upkeep.import_progress import IfExists, import_view
from miroir.upkeep.import_steps import Doors, ImportKnobs
from miroir.upkeep.index_export import IndexExport

__all__ = ["Doors", "DumpImports", "Dumped", "Dumps", "IfExists", "ImportKnobs", "IndexExport", "import_view"]
