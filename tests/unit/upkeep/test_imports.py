"""The worker of imports: one that cannot go on ends with its reason, and the next has its turn."""

from __future__ import annotations

import errno
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from miroir.errors import ApiError, node_error
from miroir.store import JobRow, StoreUnavailable
from miroir.store.sqlite import open_sqlite
from miroir.upkeep import DumpImports, dump_imports
from miroir.upkeep.dump_contents import DumpContents, WaitingTask
from miroir.upkeep.import_progress import IMPORT, Progress
from miroir.upkeep.import_run import ImportRun
from miroir.upkeep.import_steps import Doors, ImportFailed, ImportKnobs, Steps
from miroir.upkeep.import_waiting import carry_out_task
from tests.integration.dumps import packed, small

KNOBS = ImportKnobs(10, 2, 1 << 20, 0, 1 << 10, anti_entropy=False)
MOMENT = "2026-03-01T12:00:00Z"
REFUSED = node_error(400, "malformed_payload", "no")


def doors(store: Any = None, **others: Any) -> Doors:
    """The doors a test goes through, and none besides."""
    registry = SimpleNamespace(find=lambda _uid: None, alias=lambda _uid: None)
    return SimpleNamespace(store=store, registry=registry, **others)  # type: ignore[return-value]  # what is used of it


@asynccontextmanager
async def imports_in(folder: Path, through: Doors | None = None) -> AsyncIterator[DumpImports]:
    async with await open_sqlite(folder / "store.db") as store:
        yield DumpImports(store, through or doors(), KNOBS, folder)


async def taken(imports: DumpImports, dump: bytes) -> JobRow:
    parts = iter([dump, b""])

    async def chunks() -> bytes:
        return next(parts)

    return await imports.take(chunks, "fail")


async def state_of(imports: DumpImports, id: str) -> JobRow:
    """The import once it has ended."""
    with trio.fail_after(30):
        while imports.get(id).state in ("queued", "in_progress"):
            await trio.sleep(0.01)
    return imports.get(id)


@pytest.mark.parametrize("failure", [KeyError("indexes"), ExceptionGroup("both", [TypeError("no"), ValueError("no")])])
async def test_an_error_nobody_foresaw_ends_one_import_and_not_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    failures = iter([failure])

    async def carry_out(_: ImportRun) -> None:
        for each in failures:
            raise each

    monkeypatch.setattr(ImportRun, "carry_out", carry_out)
    async with imports_in(tmp_path) as imports, trio.open_nursery() as nursery:
        first = await taken(imports, packed({}))
        second = await taken(imports, packed({}))
        nursery.start_soon(imports.run)
        ended = await state_of(imports, first.id)
        assert ended.state == "failed"
        assert ended.error is not None
        assert ended.error["code"] == "internal"
        assert (await state_of(imports, second.id)).state == "completed"
        nursery.cancel_scope.cancel()


async def test_a_store_that_is_away_ends_no_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def carry_out(_: ImportRun) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(ImportRun, "carry_out", carry_out)
    async with imports_in(tmp_path) as imports:
        job = await taken(imports, packed({}))
        with pytest.raises(StoreUnavailable):
            await imports.run()
        assert imports.get(job.id).state == "in_progress"


async def test_an_import_canceled_while_it_fails_is_canceled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = trio.Event()

    async def batches(*_: object) -> None:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            raise ImportFailed(REFUSED.body())

    monkeypatch.setattr(Steps, "read_batches", batches)
    files = small("films", [{"id": 1}])

    async def once(*_: object) -> int:
        return 0

    async def must_succeed(*_: object) -> None:
        return

    monkeypatch.setattr(Steps, "once", once)
    monkeypatch.setattr(Steps, "must_succeed", must_succeed)
    async with (
        imports_in(tmp_path, doors(indexes=SimpleNamespace(create=once))) as imports,
        trio.open_nursery() as nursery,
    ):
        job = await taken(imports, packed(files))
        nursery.start_soon(imports.run)
        with trio.fail_after(30):
            await started.wait()
        await imports.cancel(job.id)
        assert imports.get(job.id).state == "canceled"
        other = await taken(imports, b"\x1f\x8bno dump")
        assert (await state_of(imports, other.id)).state == "failed"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("indexes", "keys", "asked"), [([], 2, 1), (["films"], 2, 0), ([], 0, 0)])
async def test_default_keys_give_way_only_where_no_index_is(
    tmp_path: Path, indexes: list[str], keys: int, asked: int
) -> None:
    made: list[str] = []
    gave_way: list[list[str]] = []

    def get(uid: str) -> None:
        if uid not in made:
            raise REFUSED

    async def create(_body: bytes, uid: str) -> None:
        assert not gave_way, "those of the dump first: somebody may be using the others until then"
        made.append(uid)

    async def give_way(uids: list[str]) -> None:
        gave_way.append(uids)

    job = JobRow("00000000-0000-0000-0000-000000000000", IMPORT, "in_progress", {}, {}, None, MOMENT, MOMENT)
    through = doors(keys=SimpleNamespace(get=get, create=create, give_way=give_way))
    through.registry.all = lambda: indexes  # type: ignore[method-assign, assignment, return-value]  # a stand-in
    run = ImportRun(Steps(through, KNOBS, job, tmp_path / "dump", Progress()), save=trio.lowlevel.checkpoint)
    contents = DumpContents(6, (), tuple({"uid": str(number), "name": "x"} for number in range(keys)))
    await run._keys(contents)
    await run._keys(contents)
    assert made == [str(number) for number in range(keys)]
    assert gave_way == [made] * asked


@pytest.mark.parametrize(
    ("line", "refusal", "words"),
    [(b'{"name": "x"}', REFUSED, "from byte 0 on: no"), (b'{"id": "' + b"x" * 2000 + b'"}', None, "1024 bytes")],
)
async def test_waiting_documents_that_are_refused_are_a_remark(
    tmp_path: Path, line: bytes, refusal: ApiError | None, words: str
) -> None:
    async def add(*_: object, **__: object) -> None:
        assert refusal is not None
        raise refusal

    file = tmp_path / "dump"
    file.write_bytes(packed({"tasks/update_files/0.jsonl": line + b"\n"}))
    params = {"batch_size": 10, "batch_bytes": 1 << 10}
    job = JobRow("00000000-0000-0000-0000-000000000000", IMPORT, "in_progress", params, {}, None, MOMENT, MOMENT)
    task = WaitingTask(0, "films", "documentImport", {"method": "ReplaceDocuments"}, "tasks/update_files/0.jsonl")
    async with await open_sqlite(tmp_path / "store.db") as store:
        steps = Steps(doors(store, documents=SimpleNamespace(add=add)), KNOBS, job, file, Progress())
        await carry_out_task(steps, task)
    (remark,) = steps.progress.remarks
    assert remark.startswith("the waiting task 0 (documentImport) was not carried out: ")
    assert words in remark


@pytest.mark.parametrize(
    "swaps", [[{}], [{"indexes": "ab"}], [{"indexes": ["a"]}], [{"indexes": [1, 2]}], ["a"], [["a", "b"]]]
)
async def test_a_waiting_swap_of_no_pairs_is_a_remark(tmp_path: Path, swaps: list[Any]) -> None:
    job = JobRow("00000000-0000-0000-0000-000000000000", IMPORT, "in_progress", {}, {}, None, MOMENT, MOMENT)
    steps = Steps(doors(naming=None), KNOBS, job, tmp_path / "dump", Progress())
    await carry_out_task(steps, WaitingTask(3, None, "indexSwap", {"swaps": swaps}, ""))
    assert steps.progress.remarks == ["the waiting task 3 was left out: no `indexSwap` that is known here"]


class _FullDisk(io.RawIOBase):
    def writable(self) -> bool:
        return True

    def write(self, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_disk_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_imports, "_create", lambda _file: io.BufferedWriter(_FullDisk()))
    async with imports_in(tmp_path) as imports:
        with pytest.raises(ApiError, match="cannot be kept") as refused:
            await taken(imports, packed({}))
        assert refused.value.status == 503
        assert imports.all() == []
