"""Payloads: content types, encodings and formats, where no node is needed to say what is right."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from typing import Any

import brotli
import orjson
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from miroir.errors import ApiError
from miroir.ingest.document_id import read_ids
from miroir.ingest.encoding import decompress, payload_too_large
from miroir.ingest.payload import Format, Payload, Unjudged, check_content_type, decode_payload

LIMIT = 1_000_000

scalars = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    scalars.filter(lambda value: not (isinstance(value, float) and math.isinf(value))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.text(max_size=8), values, max_size=5)


def decode(body: bytes, form: Format = Format.JSON, *, encoding: bytes | None = None, **more: Any) -> Payload:
    return decode_payload(decompress(body, encoding, max_bytes=LIMIT), form, **more)


@given(st.lists(documents, max_size=5), st.sampled_from([None, 1]), st.booleans())
def test_a_list_comes_apart_into_what_was_sent(sent: list[dict[str, Any]], indent: int | None, escaped: bool) -> None:
    body = json.dumps(sent, indent=indent, ensure_ascii=escaped).encode("utf-8", "replace")
    payload = decode(body)
    assert [json.loads(document) for document in payload.documents] == json.loads(body)
    assert payload.values == json.loads(body)
    assert all(document in body for document in payload.documents)


@given(st.lists(documents, max_size=5), st.sampled_from(["\n", "", " ", "\r\n", "\n\n \t"]), st.sampled_from([None, 1]))
def test_ndjson_needs_no_lines(sent: list[dict[str, Any]], between: str, indent: int | None) -> None:
    body = between.join(json.dumps(document, indent=indent) for document in sent).encode() + b"\n"
    payload = decode(body, Format.NDJSON)
    assert [json.loads(document) for document in payload.documents] == sent


@given(st.binary(max_size=60))
def test_rubbish_is_refused_and_nothing_else_happens(body: bytes) -> None:
    for form in Format:
        try:
            payload = decode(body, form)
        except (ApiError, Unjudged):
            continue
        assert len(payload.documents) == len(payload.values)


@given(st.text(alphabet='[]{}",:\\u0 1e.-atrnflsd\n', max_size=40))
def test_what_passes_is_strict_json(text: str) -> None:
    """Nodes get the bytes, so nothing may pass that a strict parser refuses."""
    for form in (Format.JSON, Format.NDJSON):
        try:
            payload = decode(text.encode(), form)
        except (ApiError, Unjudged):
            continue
        assert [orjson.loads(document) for document in payload.documents] == payload.values


table = st.lists(st.lists(st.text(max_size=6), min_size=2, max_size=2), max_size=5)


@given(table, st.sampled_from([",", ";", "|", "\t"]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_quoted_csv_fields_come_back(rows: list[list[str]], mark: str, end: str) -> None:
    quoted = [mark.join('"' + field.replace('"', '""') + '"' for field in row) for row in [["id", "x"], *rows]]
    body = end.join(quoted).encode("utf-8", "surrogatepass")
    payload = decode(body, Format.CSV, csv_delimiter=mark)
    assert payload.values == [{"id": a or None, "x": b or None} for a, b in rows]
    assert [orjson.loads(document) for document in payload.documents] == payload.values


def test_numbers_reach_a_node_as_they_were_sent() -> None:
    body = b'[{"id":1,"a":123456789012345678901234567890,"b":1.0,"c":1E+2,"d":-0,"e":0.10}]'
    assert b"[" + decode(body).documents[0] + b"]" == body


def test_a_lone_object_is_one_document() -> None:
    payload = decode(b' \n{ "id" : 1 }\t')
    assert payload.documents == [b'{ "id" : 1 }']
    assert payload.single


@pytest.mark.parametrize("form", list(Format))
def test_an_empty_body_is_missing(form: Format) -> None:
    with pytest.raises(ApiError) as raised:
        decode(b"", form)
    assert (raised.value.code, raised.value.message) == ("missing_payload", f"A {form.value} payload is missing.")


@pytest.mark.parametrize("depth", [128, 1000, 5000, 200_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_is_bounded(depth: int, opening: bytes) -> None:
    deep = opening * depth + b"1" + (b"]" if opening == b"[" else b"}") * depth
    for form, body in ((Format.JSON, b'[{"x":%b}]' % deep), (Format.JSON, deep), (Format.NDJSON, b'{"x":%b}' % deep)):
        with pytest.raises(Unjudged):
            decode_payload(body, form)
    with pytest.raises(Unjudged):
        read_ids(deep)


def test_brackets_in_texts_are_no_depth() -> None:
    text = "[{" * 500 + '\\"'
    assert decode(json.dumps([{"x": text}]).encode()).values == [{"x": text}]


# The shapes of a bomb: what it unpacks to is far over the limit, however small it is.
BOMBS = [
    (b"gzip", gzip.compress(b" " * 20_000_000, mtime=0)),
    (b"deflate", zlib.compress(b" " * 20_000_000)),
    (b"br", brotli.compress(b" " * 20_000_000)),
    (b"zstd", zstandard.compress(b" " * 20_000_000)),
]


@pytest.mark.parametrize(("encoding", "body"), BOMBS, ids=[name.decode() for name, _ in BOMBS])
def test_a_bomb_is_not_unpacked(encoding: bytes, body: bytes) -> None:
    with pytest.raises(ApiError) as raised:
        decode(body, encoding=encoding)
    assert (raised.value.status, raised.value.code) == (413, "payload_too_large")


@given(st.binary(max_size=3000), st.integers(-2, 2))
def test_encodings_give_back_what_went_in_up_to_the_limit(plain: bytes, slack: int) -> None:
    limit = max(0, len(plain) + slack)
    packed = {
        b"gzip": gzip.compress(plain, mtime=0),
        b"DEFLATE": zlib.compress(plain),
        b" br ": brotli.compress(plain),
        b"zstd": zstandard.compress(plain),
    }
    for encoding, body in packed.items():
        if len(plain) <= limit:
            assert decompress(body, encoding, max_bytes=limit) == plain
        else:
            with pytest.raises(ApiError):
                decompress(body, encoding, max_bytes=limit)


def test_zstd_in_name_only_is_read_as_it_is() -> None:
    assert decode(b'[{"id":1}]', encoding=b"zstd").values == [{"id": 1}]


def test_zstd_data_that_breaks_off_is_refused() -> None:
    whole = zstandard.compress(b'{"id":1}\n' * 500) + zstandard.compress(b'{"id":2}\n')
    assert len(decode(whole, Format.NDJSON, encoding=b"zstd").documents) == 501
    for body in (whole[:-1], whole[:30], whole + b"?", b"\x28\xb5\x2f\xfd" + b"\xff" * 9):
        with pytest.raises(ApiError) as raised:
            decode(body, Format.NDJSON, encoding=b"zstd")
        assert raised.value.code == "bad_request"


# Texts of nodes started with these limits.
@pytest.mark.parametrize(
    ("limit", "shown"),
    [(100_000_000, "100 MB"), (1_234_567, "1.234567 MB"), (1_572_864, "1.5 MiB"), (1_048_576, "1 MiB"), (5000, "5 KB")],
)
def test_limits_are_shown_as_by_a_node(limit: int, shown: str) -> None:
    expected = f"The provided payload reached the size limit. The maximum accepted payload size is {shown}."
    assert payload_too_large(limit).message == expected


def test_parameters_of_a_media_type_change_nothing() -> None:
    assert check_content_type(b'text/csv; charset="a;b"; header=present') is Format.CSV
    assert check_content_type(b"Application/X-NDJSON ") is Format.NDJSON
