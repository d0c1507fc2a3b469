"""Query strings, refused in a node's words (each text here was read off a node)."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.api.messages import Request
from miroir.api.reading import Query, is_count, parse_number, parse_uid, read_json
from miroir.errors import ApiError

KNOWN = ("limit", "offset", "fields", "retrieveVectors", "batchUids")


def query(text: str, codes: dict[str, str] | None = None) -> Query:
    return Query(Request("GET", "/", text.encode(), {}, b""), KNOWN, "document", codes or {})


def refusal(text: str) -> tuple[str, str]:
    """Code and message with which that query is refused, whatever member is read."""
    with pytest.raises(ApiError) as caught, query(text, {"batchUids": "invalid_batch_uids"}) as read:
        read_all(read)
    assert (caught.value.status, caught.value.type) == (400, "invalid_request")
    assert caught.value.link == f"https://docs.meilisearch.com/errors#{caught.value.code}"
    return caught.value.code, caught.value.message


def read_all(read: Query) -> None:
    read.number("limit", 20)
    read.optional_uid("offset")
    read.boolean("retrieveVectors", False)
    read.listed("fields", parse_number)
    read.listed("batchUids", parse_uid)


def test_members_are_read_once_decoded_and_the_last_of_a_name_counts() -> None:
    read = query("limit=7&limit=8&retrieveVectors=true&fields=a%20b,c+d")
    assert read.number("limit", 20) == 8
    assert read.boolean("retrieveVectors", False) is True
    assert read.listed("fields", str) == ["a b", "c d"]
    assert read.text("fields") == "a b,c d"


def test_absent_members_have_their_defaults() -> None:
    read = query("")
    assert (read.number("limit", 20), read.optional_uid("offset"), read.boolean("retrieveVectors", True)) == (
        20,
        None,
        True,
    )
    assert (read.text("fields"), read.listed("fields", str)) == (None, None)


@pytest.mark.parametrize(
    ("text", "star", "found"),
    [
        ("fields=*", True, None),
        ("fields=a,*", True, None),
        ("fields=*", False, ["*"]),
        ("fields=", True, []),
        ("fields=,a,,b,", True, ["a", "b"]),
        ("fields=%20a", True, [" a"]),
    ],
)
def test_lists(text: str, star: bool, found: list[str] | None) -> None:
    assert query(text).listed("fields", str, star=star) == found


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (
            "limit=many",
            "invalid_document_limit",
            "Invalid value in parameter `limit`: could not parse `many` as a positive integer",
        ),
        (
            "limit=",
            "invalid_document_limit",
            "Invalid value in parameter `limit`: could not parse `` as a positive integer",
        ),
        (
            "limit=-1",
            "invalid_document_limit",
            "Invalid value in parameter `limit`: could not parse `-1` as a positive integer",
        ),
        (
            "limit=18446744073709551616",
            "invalid_document_limit",
            "Invalid value in parameter `limit`: could not parse `18446744073709551616` as a positive integer",
        ),
        (
            "offset=4294967296",
            "invalid_document_offset",
            "Invalid value in parameter `offset`: could not parse `4294967296` as a positive integer",
        ),
        (
            "retrieveVectors=TRUE",
            "invalid_document_retrieve_vectors",
            (
                "Invalid value in parameter `retrieveVectors`: could not parse `TRUE` as a boolean, "
                "expected either `true` or `false`"
            ),
        ),
        (
            "fields=x",
            "invalid_document_fields",
            "Invalid value in parameter `fields`: could not parse `x` as a positive integer",
        ),
        (
            "fields=1,x",
            "invalid_document_fields",
            "Invalid value in parameter `fields[1]`: could not parse `x` as a positive integer",
        ),
        (
            "batchUids=x,1",
            "invalid_batch_uids",
            "Invalid value in parameter `batchUids[0]`: could not parse `x` as a positive integer",
        ),
    ],
)
def test_values_that_are_none(text: str, code: str, message: str) -> None:
    assert refusal(text) == (code, message)


LISTED = "expected one of `limit`, `offset`, `fields`, `retrieveVectors`, `batchUids`"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("foo", ""),
        ("lim", ""),
        ("limt", "did you mean `limit`? "),
        ("ilmit", "did you mean `limit`? "),
        ("limits", "did you mean `limit`? "),
        ("offsets1", "did you mean `offset`? "),
        ("retreiveVector", "did you mean `retrieveVectors`? "),
        ("batchuids", "did you mean `batchUids`? "),
        ("", ""),
    ],
)
def test_unknown_members_are_refused_with_the_name_that_may_have_been_meant(name: str, hint: str) -> None:
    assert refusal(f"{name}=1&limit=x") == ("bad_request", f"Unknown parameter `{name}`: {hint}{LISTED}")


@given(st.integers(0, (1 << 64) - 1))
def test_numbers_of_64_bits_are_read(number: int) -> None:
    assert query(urlencode({"limit": number})).number("limit", 20) == number
    assert parse_number(f"+{number:030d}") == number


@given(st.text())
def test_whatever_stands_there_is_a_number_or_refused(text: str) -> None:
    sent = urlencode({"limit": text})
    if re.fullmatch(r"\+?[0-9]+", text) and int(text) < 1 << 64:
        with query(sent) as read:
            assert read.number("limit", 20) == int(text)
    else:
        with pytest.raises(ApiError) as caught, query(sent) as read:
            read.number("limit", 20)
        assert f"`{text}`" in caught.value.message


@pytest.mark.parametrize(
    ("body", "sound"),
    [({}, True), ({"limit": 0}, True), ({"limit": -1}, False), ({"limit": True}, False), ({"limit": 1.0}, False)],
)
def test_counts_in_a_body(body: dict[str, object], sound: bool) -> None:
    assert is_count(body, "limit") is sound


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'{"limit":-0}', {"limit": -0.0}),
        (b'{"limit" :\n\t -0 , "offset":0}', {"limit": -0.0, "offset": 0}),
        (rb'{"queries":[{"limit":-0}]}', {"queries": [{"limit": -0.0}]}),
        (rb'{"q":"a:-0,\"b\":-0","limit":-0}', {"q": 'a:-0,"b":-0', "limit": -0.0}),
        (rb'{"a\\":-0,"b":"\\\"x:-0}"}', {"a\\": -0.0, "b": '\\"x:-0}'}),
        (rb'{"a":-0.5,"b":-0e1,"c":-0.0,"d":-1}', {"a": -0.5, "b": -0.0, "c": -0.0, "d": -1}),
        (rb'{"q":":-0"}', {"q": ":-0"}),
        (rb'{"a":-0,"b":1e-0,"c":[2E-0]}', {"a": -0.0, "b": 1.0, "c": [2.0]}),
        (rb'{"a":[-0, -0.5,0 , -0]}', {"a": [-0.0, -0.5, 0, -0.0]}),
        (rb"-0", -0.0),
    ],
)
def test_minus_zero_is_a_float_as_to_a_node(text: bytes, value: object) -> None:
    assert repr(read_json(text)) == repr(value)  # of numbers, repr tells 0 from 0.0 and that from -0.0


@pytest.mark.parametrize("first", ["limit=x", "retrieveVectors=x", "batchUids=x", "nope=1", "fields=x", "offset=x"])
def test_the_first_that_is_wrong_as_sent_is_named(first: str) -> None:
    name = first.partition("=")[0]
    assert f"parameter `{name}`" in refusal(f"{first}&offset=y&nothing=1&fields=y&limit=y&batchUids=y")[1]


def test_what_fails_in_between_is_not_covered_up() -> None:
    def fail(read: Query) -> None:
        read_all(read)
        raise LookupError

    with pytest.raises(LookupError), query("limit=x") as read:
        fail(read)
