"""What is in a dump: the first pass over its archive, which finds all but the documents themselves.

Meilisearch has had six layouts. Files come in whatever order a folder listed them, the version and the settings often
behind the documents they belong to; so everything small is kept until the end of the pass and only then understood.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import msgspec
import orjson

from miroir.indexes import is_uid
from miroir.upkeep.dump_archive import Archive, BadDump, Member
from miroir.upkeep.dump_settings import are_a_nodes_own, change_of_settings, creation_of_key, unknown_settings

_SMALL_AT_MOST: Final = 64 << 20
"""Bytes of all settings, keys and the like together; a dump of thousands of indexes has a few."""
_LINE_AT_MOST: Final = 16 << 20
_PIECE: Final = 1 << 20
_QUEUES: Final = frozenset({"tasks/queue.jsonl", "updates/data.jsonl"})
_WAITING_AT_MOST: Final = 100_000
_WAITING_BYTES_AT_MOST: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class DumpedIndex:
    """An index of a dump. `settings`: what a new index must be told. `documents`: the path of its file.

    `unknown`: the names of settings that no index has here.
    """

    uid: str
    primary_key: str | None
    created_at: str | None
    settings: Mapping[str, Any]
    documents: str
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """A task that was acknowledged and not begun when the dump was made. `file`: its documents, if it has some."""

    uid: int
    index_uid: str | None
    type: str
    content: Mapping[str, Any]
    file: str


@dataclass(frozen=True, slots=True)
class DumpContents:
    """A dump without its documents."""

    version: int
    indexes: tuple[DumpedIndex, ...]
    keys: tuple[Mapping[str, Any], ...] = ()
    """Bodies of `POST /keys`."""
    features: Mapping[str, bool] = field(default_factory=dict)
    webhooks: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    """By uuid: address and headers."""
    waiting: tuple[WaitingTask, ...] = ()
    remarks: tuple[str, ...] = ()
    """What of it cannot be taken over, in words for whoever imports it."""
    unpacked_bytes: int = 0
    document_bytes: int = 0


def read_contents(archive: Archive) -> DumpContents:
    """The first pass. Raises `BadDump` for what is no dump, and for one that cannot be imported. Blocking."""
    files: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    waiting: list[Mapping[str, Any]] = []
    held = waiting_bytes = 0
    for member in archive:
        sizes[member.path] = member.size
        if member.path in _QUEUES:
            for line, task in _unfinished(archive, member):
                waiting.append(task)
                waiting_bytes += len(line)
                if len(waiting) > _WAITING_AT_MOST or waiting_bytes > _WAITING_BYTES_AT_MOST:
                    raise BadDump(
                        f"more than {_WAITING_AT_MOST} tasks wait in it, or more than {_WAITING_BYTES_AT_MOST} bytes "
                        "of them; let them finish and make another dump"
                    )
        elif _is_small(member.path):
            held += member.size
            if held > _SMALL_AT_MOST:
                raise BadDump(f"its settings, keys and the like take more than {_SMALL_AT_MOST} bytes")
            files[member.path] = archive.read(member.size)
    version = _version(files)
    found = _Files(version, files, sizes)
    indexes = tuple(_first_indexes(found) if version == 1 else _indexes(found))
    _check(indexes)
    understood, remarks = _waiting(found, waiting)
    return DumpContents(
        version=version,
        indexes=indexes,
        keys=tuple(creation_of_key(key, version) for key in found.lines("keys.jsonl" if version == 6 else "keys")),
        features={name: on is True for name, on in found.object("experimental-features.json").items()},
        webhooks=dict(_webhooks(found)),
        waiting=tuple(understood),
        remarks=(*_left_out(found, indexes), *remarks),
        unpacked_bytes=archive.position,
        document_bytes=sum(sizes[index.documents] for index in indexes),
    )


# -- files -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Files:
    version: int
    files: Mapping[str, bytes]
    sizes: Mapping[str, int]

    def object(self, path: str) -> dict[str, Any]:
        """The JSON object in that file; an empty one where there is no such file, or it says null."""
        text = self.files.get(path)
        value: Any = {} if text is None else _json(text, path)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise BadDump(f"`{path}` holds no JSON object")
        return value

    def needed(self, path: str) -> dict[str, Any]:
        if path not in self.files:
            raise BadDump(f"`{path}` is missing: is it a dump of Meilisearch, and whole?")
        return self.object(path)

    def lines(self, path: str) -> Iterator[dict[str, Any]]:
        """The JSON objects in that file, one a line."""
        for line in self.files.get(path, b"").splitlines():
            if line.strip():
                value = _json(line, path)
                if not isinstance(value, dict):
                    raise BadDump(f"`{path}` holds a line that is no JSON object")
                yield value


def _json(text: bytes, path: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as failure:
        raise BadDump(f"`{path}` is no JSON: {failure}") from None


def _is_small(path: str) -> bool:
    """Everything but documents and what is not needed."""
    name = path.rpartition("/")[2]
    if name in ("documents.jsonl", "updates.jsonl") or path.startswith("batches/"):
        return False
    return not path.startswith(("tasks/update_files/", "updates/"))


def _version(files: Mapping[str, bytes]) -> int:
    if "metadata.json" not in files:
        raise BadDump("`metadata.json` is missing: is it a dump of Meilisearch, and whole?")
    metadata = _json(files["metadata.json"], "metadata.json")
    named = metadata.get("dumpVersion") if isinstance(metadata, dict) else None
    if named not in ("V1", "V2", "V3", "V4", "V5", "V6"):
        raise BadDump(f"its version is {named!r}; versions V1 to V6 can be imported")
    return int(named[1:])


# -- indexes ---------------------------------------------------------------------------------------------------------


def _indexes(found: _Files) -> Iterator[DumpedIndex]:
    if found.version == 6:
        names = dict.fromkeys(
            parts[1] for path in found.sizes if len(parts := path.split("/")) > 2 and parts[0] == "indexes"
        )
        for folder in (f"indexes/{name}" for name in names):
            metadata = found.needed(f"{folder}/metadata.json")
            settings = found.needed(f"{folder}/settings.json")
            created_at = metadata.get("createdAt")
            yield _index(found, folder, metadata.get("uid"), metadata.get("primaryKey"), created_at, settings)
        return
    for line in found.lines("index_uuids/data.jsonl"):
        named = line if found.version <= 3 else line.get("index_meta")
        uuid = named.get("uuid") if isinstance(named, dict) else None
        folder = f"indexes/index-{uuid}" if found.version == 2 else f"indexes/{uuid}"
        meta = found.needed(f"{folder}/meta.json")
        yield _index(found, folder, line.get("uid"), meta.get("primary_key"), None, meta.get("settings"))


def _first_indexes(found: _Files) -> Iterator[DumpedIndex]:
    listed = found.needed("metadata.json").get("indexes")
    for index in listed if isinstance(listed, list) else ():
        if not isinstance(index, dict):
            raise BadDump("`metadata.json` lists an index that is no JSON object")
        folder = str(index.get("uid"))
        settings = found.needed(f"{folder}/settings.json")
        yield _index(found, folder, index.get("uid"), index.get("primaryKey"), index.get("createdAt"), settings)


def _index(
    found: _Files, folder: str, uid: object, primary_key: object, created_at: object, settings: object
) -> DumpedIndex:
    documents = f"{folder}/documents.jsonl"
    if not isinstance(uid, str) or not isinstance(primary_key, str | None) or not isinstance(settings, dict):
        raise BadDump(f"what it says of the index in `{folder}` cannot be read")
    if documents not in found.sizes:
        raise BadDump(f"`{documents}` is missing: is it whole?")
    if uid.startswith("_miroir") or are_a_nodes_own(settings):
        raise BadDump(
            "it was made by a node behind Miroir, which holds a part of the documents only, with "
            "Miroir's own fields in them. Make one of the whole with `POST /dumps` of Miroir"
        )
    if not is_uid(uid):
        raise BadDump(f"`{uid[:100]}` in it is no name for an index")
    created = created_at if isinstance(created_at, str) else None
    change = change_of_settings(settings, found.version)
    return DumpedIndex(uid, primary_key, created, change, documents, unknown_settings(settings, found.version))


def _check(indexes: tuple[DumpedIndex, ...]) -> None:
    if len({index.uid for index in indexes}) != len(indexes):
        raise BadDump("two indexes in it have one name")


# -- the rest --------------------------------------------------------------------------------------------------------


def _webhooks(found: _Files) -> Iterator[tuple[str, tuple[str, Mapping[str, str]]]]:
    webhooks = found.object("webhooks.json").get("webhooks")
    for uuid, hook in (webhooks if isinstance(webhooks, dict) else {}).items():
        if not isinstance(hook, dict) or not isinstance(hook.get("url"), str):
            raise BadDump("a webhook in it cannot be read")
        headers = hook.get("headers") or {}
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            raise BadDump("the headers of a webhook in it cannot be read")
        yield _uuid(uuid), (hook["url"], headers)


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise BadDump(f"`{text[:100]}` in it is no id for a webhook") from None


def _left_out(found: _Files, indexes: Iterable[DumpedIndex]) -> Iterator[str]:
    for index in indexes:
        for name in index.unknown:
            yield f"the setting `{name[:100]}` of index `{index.uid}` was left out: it is not known"
    if found.object("network.json").get("remotes"):
        yield "the network of remote instances was left out: Miroir is its own network"
    if any(path.startswith("chat-completions-settings/") for path in found.sizes):
        yield "the settings of chat workspaces were left out: Miroir has no chats"


class _Queued(msgspec.Struct):
    """As much of a task as tells whether it still waits."""

    status: Any = None
    update: Any = None
    events: Any = None


_queued: Final = msgspec.json.Decoder(_Queued)


def _unfinished(archive: Archive, member: Member) -> Iterator[tuple[bytes, Mapping[str, Any]]]:
    """The tasks of a queue that had not ended, each with its line."""
    for line in lines_of(archive, member, _LINE_AT_MOST):
        try:
            if _waits(_queued.decode(line)):
                yield line, orjson.loads(line)
        except (msgspec.MsgspecError, orjson.JSONDecodeError) as failure:
            raise BadDump(f"`{member.path}` holds a line that is no task: {failure}") from None


def _waits(task: _Queued) -> bool:
    """By `status` (version 6), by the last of the `events` (4, 5), by the status of the `update` (2, 3)."""
    if task.status is not None:
        return task.status in ("enqueued", "processing")
    if isinstance(task.events, list):
        last = task.events[-1] if task.events else None
        name = next(iter(last), "") if isinstance(last, dict) else last
        return name not in ("Succeeded", "Succeded", "Failed")
    status = task.update.get("status") if isinstance(task.update, dict) else None
    return status in ("Enqueued", "Processing", "enqueued", "processing")


def _waiting(found: _Files, tasks: list[Mapping[str, Any]]) -> tuple[list[WaitingTask], list[str]]:
    """Those that can be carried out, and a remark on those that cannot."""
    understood = []
    others = 0
    for task in tasks:
        kind = task.get("type")
        if found.version == 6 and isinstance(task.get("uid"), int):
            name, content = next(iter(kind.items()), ("", {})) if isinstance(kind, dict) else (kind, {})
            if name in ("dumpCreation", "snapshotCreation", "taskCancelation", "tasksDeletion"):
                continue  # about what is not here
            index_uid = task.get("indexUid")
            file = f"tasks/update_files/{task['uid']}.jsonl"
            understood.append(
                WaitingTask(
                    task["uid"],
                    index_uid if isinstance(index_uid, str) else None,
                    str(name),
                    content if isinstance(content, dict) else {},
                    file if file in found.sizes else "",
                )
            )
        else:
            others += 1
    remark = f"{others} tasks that waited when it was made were left out: dumps of its version keep them otherwise"
    return sorted(understood, key=lambda task: task.uid), [remark] if others else []


def lines_of(archive: Archive, member: Member, longest: int) -> Iterator[bytes]:
    """The lines of the archive's present member, without their ends, empty ones left out."""
    rest = b""
    left = member.size
    while left:
        piece = archive.read(_PIECE)
        left -= len(piece)
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
        if len(rest) > longest:
            raise BadDump(f"`{member.path}` holds a line of more than {longest} bytes")
    if rest.strip():
        yield rest
