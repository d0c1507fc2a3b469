"""Reading archives of strangers: whatever is in them, the answer is files or `BadDump`, in bounded memory."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miroir.upkeep import dump_archive
from miroir.upkeep.dump_archive import Archive, BadDump
from miroir.upkeep.dump_contents import read_contents
from miroir.upkeep.dump_documents import START, batches_of
from tests.integration.dumps import packed, small
from tests.integration.old_dumps import old_dump


def members(dump: bytes, *, max_bytes: int = 0) -> dict[str, bytes]:
    archive = Archive(io.BytesIO(dump), max_bytes=max_bytes)
    return {member.path: archive.read(member.size) for member in archive}


def archive_of(fill: Callable[[tarfile.TarFile], None], form: int = tarfile.GNU_FORMAT) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz", format=form) as archive:
        fill(archive)
    return target.getvalue()


def _entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> Callable[[tarfile.TarFile], None]:
    def fill(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, link
        archive.addfile(info)

    return fill


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_read(form: int) -> None:
    long = "indexes/" + "x" * 200 + "/documents.jsonl"
    files = {"./metadata.json": b"{}", "empty": b"", "block": b"y" * 512}
    if form != tarfile.USTAR_FORMAT:
        files[long] = b"z" * 700

    def fill(archive: tarfile.TarFile) -> None:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

    assert members(archive_of(fill, form)) == {name.removeprefix("./"): data for name, data in files.items()}


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (_entry("../../etc/passwd"), "leads elsewhere"),
        (_entry("/etc/passwd"), "leads elsewhere"),
        (_entry("a/../../b"), "leads elsewhere"),
        (_entry("metadata.json", tarfile.SYMTYPE, "/etc/passwd"), "links and special files"),
        (_entry("metadata.json", tarfile.LNKTYPE, "other"), "links and special files"),
        (_entry("pipe", tarfile.FIFOTYPE), "links and special files"),
        (_entry("device", tarfile.CHRTYPE), "links and special files"),
        (_entry("holes", tarfile.GNUTYPE_SPARSE), "links and special files"),
    ],
)
def test_what_leads_elsewhere_is_refused(fill: Callable[[tarfile.TarFile], None], words: str) -> None:
    with pytest.raises(BadDump, match=words):
        members(archive_of(fill))


def test_a_file_that_is_there_twice_is_refused() -> None:
    def fill(archive: tarfile.TarFile) -> None:
        for name in ("metadata.json", "./metadata.json"):
            archive.addfile(tarfile.TarInfo(name))

    with pytest.raises(BadDump, match="twice"):
        members(archive_of(fill))


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_path_is_not_longer_than_paths_are(form: int) -> None:
    with pytest.raises(BadDump, match="longer than 4096"):
        members(archive_of(_entry("x" * 5000), form))


def test_all_paths_together_are_not_held_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump_archive, "_NAMES_AT_MOST", 50)

    def fill(archive: tarfile.TarFile) -> None:
        for number in range(6):
            archive.addfile(tarfile.TarInfo(f"{number:010}"))

    with pytest.raises(BadDump, match="more than 50 letters"):
        members(archive_of(fill))


def test_a_bomb_costs_no_memory() -> None:
    """Neither a name, nor an extended header, nor a file, nor a line that claims to be endless."""
    endless = 1 << 28
    for kind, words in ((tarfile.GNUTYPE_LONGNAME, "longer than"), (tarfile.XHDTYPE, "longer than")):
        info = tarfile.TarInfo("bomb")
        info.type, info.size = kind, endless
        dump = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
        with pytest.raises(BadDump, match=words):
            members(dump)
    info = tarfile.TarInfo("indexes/a/documents.jsonl")
    info.size = endless
    dump = gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(endless))
    tracemalloc.start()
    try:
        with pytest.raises(BadDump, match="more than 1000000 bytes"):
            for _ in Archive(io.BytesIO(dump), max_bytes=1_000_000):
                pass
        with pytest.raises(BadDump, match="a document of more than"):
            for _ in batches_of(
                Archive(io.BytesIO(dump)), {info.name}, after=START, batch_size=10, batch_bytes=1 << 20, longest=1 << 20
            ):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damage_is_told_or_does_no_harm(data: st.DataObject) -> None:
    files = data.draw(st.sampled_from([small("a", [{"id": 1}]), old_dump(1, "a"), old_dump(2, "a"), old_dump(5, "a")]))
    plain = bytearray(gzip.decompress(packed(files)))
    for _ in range(data.draw(st.integers(0, 3))):
        plain[data.draw(st.integers(0, len(plain) - 1))] = data.draw(st.integers(0, 255))
    dump = gzip.compress(bytes(plain[: data.draw(st.integers(1, len(plain)))]), 1)
    cut = dump[: data.draw(st.one_of(st.just(len(dump)), st.integers(0, len(dump))))]
    try:
        contents = read_contents(Archive(io.BytesIO(cut)))
    except BadDump:
        return
    assert contents.version in (1, 2, 5, 6)


@given(
    st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b" ")), max_size=40),
    st.integers(1, 5),
    st.integers(1, 60),
)
def test_batches_are_the_same_from_wherever_one_goes_on(lines: list[bytes], size: int, most: int) -> None:
    dump = packed({"a": b"\n".join(lines), "skipped": b"x" * 700, "b": b"{}\n{}\n"})

    def batches(after: object) -> list[object]:
        archive = Archive(io.BytesIO(dump))
        return list(
            batches_of(archive, {"a", "b"}, after=after, batch_size=size, batch_bytes=most, longest=100)  # type: ignore[arg-type]  # a place
        )

    whole = batches(START)
    joined = b"\n".join(batch.body for batch in whole).split(b"\n")  # type: ignore[attr-defined]  # a batch
    assert [line for line in joined if line] == [line for line in [*lines, b"{}", b"{}"] if line.strip()]
    for number, batch in enumerate(whole):
        assert batches(batch.end) == whole[number + 1 :]  # type: ignore[attr-defined]  # a batch
