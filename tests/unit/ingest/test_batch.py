"""From a payload to stamped bytes per node: ids, refusals, and nothing lost or changed on the way."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from miroir.cluster import shard_of
from miroir.errors import ApiError
from miroir.ingest.document_id import are_document_ids, id_text, is_document_id, read_ids
from miroir.ingest.payload import Format, Unjudged, decode_payload
from miroir.ingest.primary_key import RefusedId, TaskFailure, UnresolvedKey, extract_id, infer_primary_key
from miroir.ingest.stamping import Batch, node_payload, read_batch, stamp_batch
from miroir.stamps import RESERVED_FIELDS, decode, strip
from tests.unit.ingest.test_payload import documents

STAMP = 1_763_000_000_000_000
ids = st.text(alphabet=string.ascii_letters + string.digits + "-_", min_size=1, max_size=20) | st.integers(
    -(1 << 63), (1 << 64) - 1
)


def batch_of(
    body: bytes,
    primary_key: str | None = "id",
    *,
    form: Format = Format.JSON,
    anti_entropy: bool = True,
    reject_missing: bool = False,
) -> Batch:
    payload = decode_payload(body, form)
    return read_batch(
        payload, index_uid="x", primary_key=primary_key, anti_entropy=anti_entropy, reject_missing=reject_missing
    )


@given(
    st.lists(st.tuples(ids, documents), max_size=12),
    st.integers(1, 64),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.booleans(),
)
def test_stamped_documents_are_the_clients_and_each_is_in_one_place(
    sent: list[tuple[Any, dict[str, Any]]], shards: int, indent: int | None, last: bool, updated: bool
) -> None:
    listed = [{**document, "id": key} if last else {"id": key, **document, "id": key} for key, document in sent]  # noqa: F601
    body = json.dumps(listed, indent=indent).encode()
    batch = batch_of(body)
    assert batch.keys == [str(document["id"]) for document in listed]
    assert batch.distinct == len({str(document["id"]) for document in listed})
    stamped = stamp_batch(batch, stamp=STAMP, shards=shards, updated=updated)
    assert stamped.shards == [shard_of(key, shards) for key in batch.keys]
    assert batch.shards(shards) == tuple(sorted(set(stamped.shards)))
    owned = [frozenset(range(part, shards, 3)) for part in range(3)]
    found: dict[int, Any] = {}
    for own in owned:
        mine = json.loads(node_payload(stamped, own))
        places = [decode(document["_miroir_seq"]) - (STAMP << 25) for document in mine]
        assert places == sorted(places)
        assert all(decode(document["_miroir_shard"]) in own for document in mine)
        assert all(("_miroir_updated_at" in document) is updated for document in mine)
        assert all(decode(document["_miroir_placed_at"]) == STAMP for document in mine)
        assert not found.keys() & set(places)
        found |= dict(zip(places, mine, strict=True))
    stamps = set(RESERVED_FIELDS)
    plain = [{name: value for name, value in found[at].items() if name not in stamps} for at in sorted(found)]
    assert plain == json.loads(body)
    assert sorted(found) == list(range(len(listed)))
    assert [strip(document) for document in stamped.documents] == batch.items
    assert json.loads(node_payload(stamped, range(shards))) == [found[at] for at in sorted(found)]
    assert [pair for shard in range(shards) for pair in stamped.of_shard(shard)] == sorted(
        enumerate(stamped.documents), key=lambda pair: (stamped.shards[pair[0]], pair[0])
    )


@given(st.lists(st.text(max_size=6) | st.text(alphabet="aZ09-_", max_size=600), max_size=6))
def test_many_ids_are_judged_as_one_is(texts: list[str]) -> None:
    assert are_document_ids(texts) == all(map(is_document_id, texts))


json_ids = ids.map(json.dumps) | st.sampled_from(["0", "-0", "7.0", "1e2", "null", "true", '"a b"', "[]", '"\\u0061"'])


@given(st.lists(json_ids, min_size=1, max_size=6), st.sampled_from(list(Format)[:2]), st.sampled_from(["id", "a.id"]))
def test_the_glance_and_the_exact_look_agree(listed: list[str], form: Format, name: str) -> None:
    objects = [f'{{"id":{value},"n":1}}' if name == "id" else f'{{"a":{{"id":{value}}}}}' for value in listed]
    body = ("[" + ",".join(objects) + "]" if form is Format.JSON else "\n".join(objects)).encode()
    try:
        exact = [extract_id(one.encode(), name, repeats=form is Format.NDJSON, lone=False) for one in objects]
    except RefusedId as refused:
        error = refused.error
    else:
        assert batch_of(body, name, form=form).keys == exact
        return
    with pytest.raises(TaskFailure) as failed:
        batch_of(body, name, form=form)
    assert (failed.value.error, failed.value.received) == (error, len(listed))


def test_an_integer_and_its_text_are_one_document() -> None:
    batch = batch_of(b'[{"id":7},{"id":"7"},{"id":"8"}]')
    assert batch.keys == ["7", "7", "8"]
    assert (batch.received, batch.distinct) == (3, 2)
    assert batch.items[:2] == [b'{"id":7}', b'{"id":"7"}']


@pytest.mark.parametrize(
    ("body", "form", "key"),
    [
        (b'[{"id":1,"id":2}]', Format.JSON, "2"),
        (b'[{"id":1,"\\u0069d":"x"}]', Format.JSON, "x"),
        (b'[{"a":{"id":1}, "id":0}]', Format.JSON, "0"),
        (b'{"id":1,"x":"id"}\n', Format.NDJSON, "1"),
        (b'{"id":1,"x":"\\u0069d"}\n', Format.NDJSON, "1"),
    ],
)
def test_the_last_of_equal_names_is_the_id(body: bytes, form: Format, key: str) -> None:
    assert batch_of(body, form=form).keys == [key]


@pytest.mark.parametrize("body", [b'{"id":1,"id":1}', b'{"id":1,"\\u0069d":2}', b'{"\\u0069d":1,"i\\u0064":2}'])
def test_ndjson_takes_no_id_twice(body: bytes) -> None:
    with pytest.raises(TaskFailure, match="too many matching `id`"):
        batch_of(body, form=Format.NDJSON)


@pytest.mark.parametrize("body", [b'[{"a":{"b":1,"b":2}}]', b'[{"a":{"b":1,"\\u0062":2}}]', b'[{"a":{"b":1},"a.b":1}]'])
def test_a_nested_id_is_there_once(body: bytes) -> None:
    with pytest.raises(TaskFailure, match=r"too many matching `a\.b`"):
        batch_of(body, "a.b")


def test_a_lone_object_is_read_as_a_whole_and_sent_as_it_was_read() -> None:
    batch = batch_of(b'{"a":{"b":1,"b":2},"x":-0,"y":[1e5,12345678901234567890123]}', "a.b")
    assert batch.keys == ["2"]
    assert batch.items == [b'{"a":{"b":2},"x":-0.0,"y":[100000.0,1.2345678901234568e22]}']


@pytest.mark.parametrize("field", RESERVED_FIELDS)
@pytest.mark.parametrize("escaped", [False, True])
def test_our_fields_are_refused_before_anything_else(field: str, escaped: bool) -> None:
    name = "".join(f"\\u{ord(letter):04x}" for letter in field) if escaped else field
    body = f'[{{"id":1}},{{"x":1,"{name}":null}}]'.encode()
    with pytest.raises(ApiError) as raised:
        batch_of(body)
    assert raised.value.code == "miroir_reserved_field"
    assert f"`{field}`" in raised.value.message


def test_fields_that_only_look_like_ours_pass() -> None:
    body = b'[{"id":1,"_miroir_expires_at":5,"_miroir_updated_at":1,"x":{"_miroir_shard":3}}]'
    assert batch_of(body, anti_entropy=False).items == [body[1:-1]]


def test_without_anti_entropy_the_other_fields_stay_ours() -> None:
    with pytest.raises(ApiError, match="_miroir_seq"):
        batch_of(b'[{"id":1,"_miroir_seq":1}]', anti_entropy=False)


@pytest.mark.parametrize("primary_key", [None, "id", "a.b"])
def test_a_missing_key_is_the_clients_to_mend(primary_key: str | None) -> None:
    body = b'[{"x":1}]' if primary_key is None else b'[{"id":"a b","a":{"b":"a b"}},{"x":1}]'
    with pytest.raises(ApiError) as raised:
        batch_of(body, primary_key, reject_missing=True)
    assert (raised.value.status, raised.value.code) == (400, "miroir_primary_key_required")
    with pytest.raises(TaskFailure) as failed:
        batch_of(body, primary_key)
    code = "index_primary_key_no_candidate_found" if primary_key is None else "invalid_document_id"
    assert failed.value.error["code"] == code


def test_a_bad_id_stays_a_failed_task_whatever_is_said_of_missing_ones() -> None:
    with pytest.raises(TaskFailure) as failed:
        batch_of(b'[{"id":1},{"id":"b b"},{"id":"a b"}]', reject_missing=True)
    assert '`"b b"`' in failed.value.error["message"]
    assert failed.value.received == 3


def test_no_documents_need_no_key() -> None:
    batch = batch_of(b"[]", None, reject_missing=True)
    assert (batch.primary_key, batch.received, batch.shards(16)) == (None, 0, ())
    assert node_payload(stamp_batch(batch, stamp=STAMP, shards=16, updated=True), range(16)) == b"[]"


@given(st.dictionaries(st.text(alphabet="iIdDİıa_", max_size=4), st.none(), max_size=4))
def test_inference_finds_the_one_name_that_ends_in_id(document: dict[str, Any]) -> None:
    candidates = [name for name in document if name[-2:] in ("id", "iD", "Id", "ID")]
    if len(candidates) == 1:
        assert infer_primary_key(document) == candidates[0]
    else:
        with pytest.raises(UnresolvedKey):
            infer_primary_key(document)


@pytest.mark.parametrize(
    "vectors", ["null", "[1]", '{"a":1}', '{"a":{}}', '{"a":["x"]}', '{"a":{"regenerate":1}}', '{"a":[[1],2]}']
)
def test_odd_vectors_are_for_a_node_to_judge(vectors: str) -> None:
    with pytest.raises(Unjudged) as raised:
        batch_of(f'[{{"id":1,"_vectors":{vectors}}}]'.encode())
    assert raised.value.task


@given(st.lists(ids))
def test_ids_to_delete_are_texts(listed: list[str | int]) -> None:
    assert read_ids(json.dumps(listed).encode()) == [str(key) for key in listed]


@given(documents)
def test_no_object_is_an_id(value: dict[str, Any]) -> None:
    assume(value is not None)
    assert id_text(value) is None
    assert id_text([value]) is None


def test_payloads_of_any_length_get_their_positions() -> None:
    count = 10_050
    body = b"[" + b",".join(b'{"id":%d}' % number for number in range(count)) + b"]"
    stamped = stamp_batch(batch_of(body), stamp=STAMP, shards=4, updated=True)
    places = [decode(json.loads(document)["_miroir_seq"]) - (STAMP << 25) for document in stamped.documents]
    assert places == list(range(count))


@pytest.mark.parametrize("form", [Format.JSON, Format.NDJSON])
@pytest.mark.parametrize("name", ["_miroir_shard", "\\u005fmiroir_shard", "_mi\\u0072oir_seq"])
def test_a_field_of_ours_is_refused_however_it_is_spelled(name: str, form: Format) -> None:
    document = f'{{"id":1,"{name}":"x"}}'
    with pytest.raises(ApiError) as refused:
        batch_of((f"[{document}]" if form is Format.JSON else document).encode(), form=form)
    assert refused.value.code == "miroir_reserved_field"


@pytest.mark.parametrize("again", ["id", "\\u0069d"])
def test_a_key_that_comes_twice_in_a_line_is_refused_and_in_a_list_the_last_counts(again: str) -> None:
    document = f'{{"id":1,"{again}":2}}'.encode()
    with pytest.raises(TaskFailure):
        batch_of(document, form=Format.NDJSON)
    assert batch_of(b"[" + document + b"]").keys == ["2"]
