"""Understanding dumps of strangers: what cannot be read is `BadDump`, what cannot be taken over a remark."""

from __future__ import annotations

import io
from typing import Any

import pytest

from miroir.upkeep import dump_contents
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


def _with_webhook(uuid: str, headers: Any) -> dict[str, Any]:
    return {**small("films", []), "webhooks.json": {"webhooks": {uuid: {"url": "http://a/", "headers": headers}}}}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({**small("films", []), "keys.jsonl": [{"actions": 5}]}, "`actions`"),
        ({**small("films", []), "keys.jsonl": [{"actions": [["search"]]}]}, "`actions`"),
        ({**small("films", []), "keys.jsonl": [{"actions": ["search"], "indexes": 5}]}, "`indexes`"),
        (_with_webhook("../x", {}), "no id for a webhook"),
        (_with_webhook("5f2c7c2e-6f4e-4a40-8f1b-3d4f8f2d7d11", {"x-a": 5}), "headers of a webhook"),
        (_with_webhook("5f2c7c2e-6f4e-4a40-8f1b-3d4f8f2d7d11", ["x-a"]), "headers of a webhook"),
        (_with_rules(1, [["words"]]), "`rankingRules`"),
        (_with_rules(3, ["words", {}]), "`rankingRules`"),
    ],
)
def test_what_is_of_no_known_shape_is_refused(files: dict[str, Any], words: str) -> None:
    with pytest.raises(BadDump, match=words):
        contents_of(files)


@pytest.mark.parametrize("limit", ["_WAITING_AT_MOST", "_WAITING_BYTES_AT_MOST"])
def test_a_queue_is_not_read_further_than_it_is_held(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    most = 100 if limit == "_WAITING_AT_MOST" else 100 * 40
    monkeypatch.setattr(dump_contents, limit, most)
    queue = [{"uid": uid, "status": "enqueued", "type": "x"} for uid in range(100_000)]
    archive = Archive(io.BytesIO(packed({"tasks/queue.jsonl": queue, "metadata.json": {"dumpVersion": "V6"}})))
    with pytest.raises(BadDump, match="tasks wait in it"):
        read_contents(archive)
    assert archive.position < 2 << 20, "it was read to the end before it was refused"


def test_a_setting_that_is_not_known_is_a_remark() -> None:
    found = contents_of(small("films", [], {"stopWords": ["a"], "shineOfLetters": 3, "alsoUnset": None}))
    assert found.indexes[0].settings == {"stopWords": ["a"]}
    assert found.remarks == ("the setting `shineOfLetters` of index `films` was left out: it is not known",)


@pytest.mark.parametrize("version", range(1, 6))
def test_what_an_old_dump_may_set_is_known(version: int) -> None:
    assert contents_of(old_dump(version, "films")).remarks == ()


def test_a_webhook_keeps_its_id_and_headers() -> None:
    uuid = "5f2c7c2e-6f4e-4a40-8f1b-3d4f8f2d7d11"
    assert contents_of(_with_webhook(uuid, {"x-a": "b"})).webhooks == {uuid: ("http://a/", {"x-a": "b"})}
    assert contents_of(_with_webhook(uuid, None)).webhooks == {uuid: ("http://a/", {})}
