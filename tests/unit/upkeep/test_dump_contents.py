"""Understanding dumps of strangers: what cannot be read is `BadDump`, what cannot be taken over a remark."""

from __future__ import annotations

import io
from typing import Any

import pytest

from miroir.upkeep.dump_archive import Archive, BadDump
from miroir.upkeep.dump_contents import DumpContents, read_contents
from tests.integration.dumps import packed, small
from tests.integration.old_dumps import old_dump


def contents_of(files: dict[str, Any]) -> DumpContents:
    return read_contents(Archive(io.BytesIO(packed(files))))


def _with_rules(version: int, rules: Any) -> dict[str, Any]:
    files = old_dump(version, "films")
    path = next(path for path in files if path.endswith("/settings.json" if version == 1 else "/meta.json"))
    settings = files[path] if version == 1 else files[path]["settings"]
    changed = {**settings, "rankingRules": rules}
    files[path] = changed if version == 1 else {**files[path], "settings": changed}
    return files


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({**small("films", []), "keys.jsonl": [{"actions": 5}]}, "`actions`"),
        ({**small("films", []), "keys.jsonl": [{"actions": [["search"]]}]}, "`actions`"),
        ({**small("films", []), "keys.jsonl": [{"actions": ["search"], "indexes": 5}]}, "`indexes`"),
        (_with_rules(1, [["words"]]), "`rankingRules`"),
        (_with_rules(3, ["words", {}]), "`rankingRules`"),
    ],
)
def test_what_is_of_no_known_shape_is_refused(files: dict[str, Any], words: str) -> None:
    with pytest.raises(BadDump, match=words):
        contents_of(files)
