"""Dumps of the versions before today's, written after the published format: nobody can make real ones any more."""

from __future__ import annotations

from typing import Any

MOMENT = "2022-10-09T20:27:59.904096267Z"
UUID = "40d14c5f-37ae-4873-9d51-b69e014a0d30"
KEY = "9f8a34da-b6b2-42f0-939b-dbd4c3448655"
DOCUMENTS: list[dict[str, Any]] = [
    {"sku": f"p-{number}", "name": f"product {number}", "price": number * 1.5, "tags": ["a", {"b": [number]}]}
    for number in range(20)
]

_FIRST = {
    "rankingRules": ["typo", "words", "proximity", "attribute", "wordsPosition", "exactness", "desc(price)"],
    "distinctAttribute": None,
    "searchableAttributes": ["name", "tags"],
    "displayedAttributes": ["*"],
    "stopWords": ["of", "the"],
    "synonyms": {"item": ["product"]},
    "attributesForFaceting": ["price", "tags"],
}
_SECOND: dict[str, Any] = {
    "displayedAttributes": ["*"],
    "searchableAttributes": ["name"],
    "filterableAttributes": ["price"],
    "sortableAttributes": ["price"],
    "rankingRules": ["words", "typo", "proximity", "attribute", "sort", "exactness", "asc(price)"],
    "stopWords": ["the"],
    "synonyms": {},
    "distinctAttribute": None,
}
_THIRD: dict[str, Any] = {
    **_SECOND,
    "rankingRules": ["words", "typo", "proximity", "attribute", "sort", "exactness", "price:asc"],
}
_TYPOS = {"enabled": True, "minWordSizeForTypos": {"oneTypo": 4, "twoTypos": 8}, "disableOnWords": ["abc"]}
_FOURTH = {**_THIRD, "typoTolerance": {**_TYPOS, "disableOnAttributes": []}}
_FIFTH = {**_FOURTH, "faceting": {"maxValuesPerFacet": 50}, "pagination": {"maxTotalHits": 500}}
SETTINGS: dict[int, dict[str, Any]] = {1: _FIRST, 2: _SECOND, 3: _THIRD, 4: _FOURTH, 5: _FIFTH}


def old_dump(version: int, uid: str, *, waiting: list[Any] | None = None) -> dict[str, Any]:
    """The files of a dump of that version with one index."""
    if version == 1:
        about = {"name": uid, "uid": uid, "createdAt": MOMENT, "updatedAt": MOMENT, "primaryKey": "sku"}
        return {
            "metadata.json": {"indexes": [about], "dbVersion": "0.20.0", "dumpVersion": "V1"},
            f"{uid}/documents.jsonl": DOCUMENTS,
            f"{uid}/settings.json": _FIRST,
            f"{uid}/updates.jsonl": [],
        }
    sizes = {"dbVersion": "0.2x", "indexDbSize": 1, "updateDbSize": 1, "dumpDate": MOMENT}
    folder = f"indexes/index-{UUID}" if version == 2 else f"indexes/{UUID}"
    named = {"uuid": UUID} if version <= 3 else {"index_meta": {"uuid": UUID, "creation_task_id": 0}}
    files: dict[str, Any] = {
        f"{folder}/documents.jsonl": DOCUMENTS,
        f"{folder}/meta.json": {"settings": SETTINGS[version], "primary_key": "sku"},
        "index_uuids/data.jsonl": [{"uid": uid, **named}],
        "updates/data.jsonl": waiting or [],
        "metadata.json": {"dumpVersion": f"V{version}", **sizes},
    }
    key: dict[str, Any] = {
        "description": f"a key of version {version}",
        "actions": ["search", "documents.add"],
        "indexes": ["*"],
        "expires_at": None,
        "created_at": MOMENT,
        "updated_at": MOMENT,
    }
    if version == 4:
        files["keys"] = [{**key, "actions": ["search", "documents.add", "dumps.get"], "id": list(range(8))}]
    if version == 5:
        files["keys"] = [{**key, "name": "old", "uid": KEY}]
        files["instance-uid"] = UUID
    return files
