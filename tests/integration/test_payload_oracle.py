"""Odd payloads, ours and a real node's: the same status, code and text, or the same documents."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import brotli
import httpx
import pytest

from miroir.errors import ApiError
from miroir.ingest.content import check_delimiter
from miroir.ingest.document_id import read_ids, unusable_id
from miroir.ingest.encoding import decompress
from miroir.ingest.payload import Format, Unjudged, check_content_type, check_json_content_type, decode_payload
from miroir.ingest.primary_key import TaskFailure
from miroir.ingest.stamping import node_payload, read_batch, stamp_batch
from miroir.stamps import strip
from tests.nodes import ClusterPool, RealNode

JSON = b"application/json"
NDJSON = b"application/x-ndjson"
CSV = b"text/csv"
LIMIT = 100_000_000
SHARDS = 16


@dataclass(frozen=True)
class Case:
    body: bytes
    content_type: bytes | None = JSON
    primary_key: str | None = None
    csv_delimiter: str | None = None
    encoding: bytes | None = None
    shared: bool = False
    """The body is an ordinary one, so that many such cases can go to one index."""

    @property
    def query(self) -> dict[str, str]:
        sent = {"primaryKey": self.primary_key, "csvDelimiter": self.csv_delimiter}
        return {name: value for name, value in sent.items() if value is not None}

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        # A node that refuses a request early does not read its body: never use such a connection again.
        sent = [(b"connection", b"close")]
        if self.content_type is not None:
            sent.append((b"content-type", self.content_type))
        if self.encoding is not None:
            sent.append((b"content-encoding", self.encoding))
        return sent

    def __str__(self) -> str:
        kind = (self.content_type or b"-").decode("latin-1")
        more = [repr(value) for value in (self.primary_key, self.csv_delimiter, self.encoding) if value is not None]
        return " ".join([kind, repr(self.body[:60]), *more])


def json_cases() -> Iterator[Case]:
    shapes: list[bytes] = [
        b"", b" ", b"[]", b"{}", b"[{}]", b'{"id":1}', b'\xef\xbb\xbf[{"id":1}]', b'[{"id":1}] x',
        b'[{"id":"\xc3\xa9"}] x', b'[{"id":1,"t":"\xe2\x82\xac\xf0\x9f\x98\x80"}] x', b'[{"id":1}] \xff',
        b'[{"id":1}]\xff]',
        b'[{"id":1}]{"id":2}', b'[{"id":1}] [] \xff', b'[{"id":1},]', b'[{"id":1,}]', b"[1]", b"1", b'"a"', b"null",
        b"[null]", b'[[{"id":1}]]', b"true", b"nope", b'[{"id":1}', b'[{"id":NaN}]', b'[{"id":1,"x":Infinity}]',
        b'[{"id":1,"x":1e400}]', b'{"id":1,"x":1e400}', b'[{"id":1,"x":1e-400}]', b'[{"id":1,"x":"\\ud800"}]',
        b'[{"id":1,"x":"\\udc00"}]', b'{"id":1,"x":"\\ud800"}', b'[{"id":1,"\\ud800":1}]', b'[{"id":1,"x":"\xff"}]',
        b'[{"id":1,"x":"\xed\xa0\x80"}]', b'[{"id":1,"x":"\x01"}]', b'[{"id":1,"x":"\x7f\\u0000"}]',
        b'[{"id":1,"x":01}]',
        b'[{"id":1,"x":-0}]', b'[{"id":1,"x":123456789012345678901234567890}]', b'[{"id":1,"x":[1.0,1e2,1E+2,0.10]}]',
        b'[{"id":1,"x":.5}]', b'[{"id":1,"x":5.}]', b'[{"id":1,"x":"\\x"}]', b'[{"id":1,"id":2}]',
        b'[{"id":2,"\\u0069d":1}]', b'[{"id":1,"x":1,"x":2}]', b'\t\r\n [ {"id" : 1 } ] \n', b'\n{ "id" : 1 } \n',
        b'\x0c[{"id":1}]', b'[{"id":1}]\x00', b"[{'id':1}]", b'[{"id":1,"":2}]', b'[{"":1}]', b'{"id":1}{"id":2}',
        b'{"id":1} []', b'[{"id":1},null]', b'[{"id":1} {"id":2}]', b'[{"id":1},{"id":1},{"id":"1"}]',
        b'[{"id":1},{"x":1},{"id":"a b"}]', b'[{"id":1},{"id":"a b"},{"x":1}]', b'[{"id":0},{"id":1}]',
        b'[{"id":1,"_vectors":null}]', b'[{"id":1,"_vectors":[1]}]', b'[{"id":1,"_vectors":"x"}]',
        b'[{"id":1,"_vectors":{"a":1}}]', b'[{"id":1,"_vectors":{"a":{"embeddings":[1]}}}]',
        b'[{"id":1,"_vectors":{"a":[1,2.5],"b":{"regenerate":false,"embeddings":[[1,2],[3,4]]},"c":null}}]',
    ]  # fmt: skip
    yield from (Case(body) for body in shapes)
    for depth in (126, 127, 128, 300):
        nested = b"[" * depth + b"]" * depth
        yield Case(b'[{"id":1,"x":%b}]' % nested)
        yield Case(b'{"id":1,"x":%b}' % nested)
        yield Case(b'{"id":1,"x":%b}' % nested, NDJSON)
        yield Case(b'[{"id":1,"x":%b1%b}]' % (b'{"a":' * depth, b"}" * depth))
    yield Case(b'[{"id":1,"x":"%b"}]' % (b"[{" * 200))
    values = [
        "-0", "0", "7.0", "1e2", "18446744073709551615", "18446744073709551616", "-9223372036854775808",
        "-9223372036854775809", "true", "false", "null", "[]", "[1]", "{}", '{"a":1,"a":2}', '""', '" a"', '"a b"',
        '"é"',
        '"a.b"', '"a\\u0062"', '"\\u002d"', f'"{"a" * 511}"', f'"{"a" * 512}"', '"7"', '"-0"', '"007"', "-5", "1.5",
        "-0.0", "0.0", '"a\\nb"', '"a`b"', '"a\\"b"', '"a\\\\b"', '{"b":1.5,"a":[1,"x",null,-0]}', "1e5", "0.00001",
        "1e-6",
        "123456789012345678901234567890", "12345678901234567890.5", "1e-7", "1e16", "1e15", "[1.0,2e3,1e22]",
        '"\\u0000"',
        '"\\/"', '"\\u007f\\b\\t\\f"', '"\\ud83d\\ude00"', "1" + "0" * 30, "-1e-400", '{"e+5":1e+30}',
    ]  # fmt: skip
    yield from (Case(f'[{{"id":{value},"t":1}}]'.encode(), primary_key="id") for value in values)


def key_cases() -> Iterator[Case]:
    inferred = [
        '[{"ID":1}]', '[{"x":1}]', '[{"a_id":1,"b_id":2}]', '[{"id":1,"b_id":2}]', '[{"paid":1}]', '[{"x":{"id":1}}]',
        '[{"x.id":1}]', '[{"\\u0069d":1}]', '[{"x":1},{"id":2}]', '[{"İd":1}]', '[{"ıd":1,"id ":2}]',
        '[{"identifier":1}]',
        '[{"id":null}]', '[{"iD":1,"Id":3}]', '[{"a_id":1,"b_id":2,"c_id":3,"ID":4}]', '[{"zid":1,"aid":2}]',
        '[{"İD":1}]',
        '[{"a\\"id":1,"b`id":2}]', '[{"_vectors":{},"uid":4}]', '[{"id":1},{}]', '[{"éid":1}]',
    ]  # fmt: skip
    yield from (Case(body.encode()) for body in inferred)
    named = [
        ("a.b", '[{"a":{"b":1}}]'), ("a.b", '[{"a.b":2}]'), ("a.b", '[{"a":{"b":1},"a.b":2}]'),
        ("a.b", '[{"a":[{"b":1}]}]'), ("a.b", '[{"a":1}]'), ("a.b", '[{"x":1}]'), ("a.b.c", '[{"a.b":{"c":3}}]'),
        ("a.b.c", '[{"a":{"b.c":3}}]'), ("a.b.c", '[{"a":{"b":{"c":3},"b.c":4}}]'),
        ("a.b.c", '[{"a":{"b":{"c":3}},"a.b":{"c":3}}]'), ("a.b", '[{"a":{"b":null}}]'), ("a.b", '[{"a":null}]'),
        ("a.b", '[{"a":{"b":1},"a":{"b":2}}]'), ("a.b", '[{"a":{"b":1},"a":{"c":2}}]'), ("a.b",
        '[{"a":{"b":1,"b":2}}]'),
        ("a.b", '{"a":{"b":1,"b":2},"x":-0,"y":1e5}'), ("a.b", '{"a":{"b":1},"a":{"b":2}}'), ("a.b",
        '[{"a.b":1,"a.b":2}]'),
        ("a.b", '[{"a":{"b":1},"a.b":null}]'), ("a.b", '[{"a.b":null,"a":{"b":1}}]'), ("a.b",
        '[{"a":{"b":1,"b":null}}]'),
        (".x", '[{".x":1}]'), (".x", '[{"":{"x":1}}]'), ("a..b", '[{"a":{"":{"b":1}}}]'), ("a..b", '[{"a":{".b":1}}]'),
        ("a..b", '[{"a.":{"b":1}}]'), ("a.", '[{"a":{"":1}}]'), ("a.", '[{"a.":1}]'), (".", '[{".":1}]'), ("",
        '[{"":1}]'),
        ("", '[{"id":1}]'), ("a b", '[{"a b":1}]'), ("é", '[{"é":1}]'), ('a"b', '[{"a\\"b":1}]'), ("a.b",
        '[{"a":{"b":[1]}}]'),
        ("a.b", '[{"a":{"b":{"c":1}}}]'), ("id ", '[{"id":1}]'), ("x", "[]"), ("x", '[{"id":1}]'),
        ("x", '[{"id" : 1.50, "b":-0 , "a":1e5, "c":[1, 2],"a":12345678901234567890123}]'),
        ("a.b", '[{"a":{"b":"x"}},{"a":{"b":7}},{"a.b":"7"}]'),
    ]  # fmt: skip
    yield from (Case(body.encode(), primary_key=name) for name, body in named)


def ndjson_cases() -> Iterator[Case]:
    bodies = [
        b"", b" \n", b'{"id":1}\n{"id":2}', b'{"id":1}{"id":2}', b'{"id":1} \t {"id":2}\r\n', b'{"id":\n1}\n{"id":2}',
        b'{"id":"\xc3\xa9\\n"} {"id":\n2}', b'[{"id":1}]', b'{"id":1}\n[]', b'{"id":1}\n3', b'{"id":1}\nnull',
        b'{"id":1},{"id":2}', b'{"id":1}\nx', b'{"id":1,"id":2}', b'{"id":1,"\\u0069d":2}', b'{"id":1,"x":1,"x":2}',
        b'{"id":1,"x":"\\ud800"}', b'{"id":1,"x":1e400}', b'\xef\xbb\xbf{"id":1}', b'{"id":1}\n{"id":', b'{"id":1}1 ',
        b'1{"id":1}', b'{"id":1}\x00', b'{"id":1}\n{}', b"{}", b'{"id":1,"x":"\xff"}', b'{"id":1}\x1e{"id":2}',
        b'{"x":1,"x":2}', b'{"a_id":1,"a_id":2}', b'{"id":"a b","id":2}', b'{"id":1}\x0b{"id":2}',
        b'{"id":1}\n{"id":NaN} {}',
        b'{"id":1,"x":"\\"id\\""}', b'{"id":0}\n{"id":-0}', b'{"id":1,"x":{"id":2}}',
    ]  # fmt: skip
    yield from (Case(body, NDJSON) for body in bodies)
    yield Case(b'{"a":{"b":1},"a":{"b":2}}', NDJSON, "a.b")
    yield Case(b'{"a":{"b":1}}\n{"a.b":2}', NDJSON, "a.b")
    yield Case(b"", NDJSON, csv_delimiter=";")


def csv_cases() -> Iterator[Case]:
    bodies = [
        b"", b" ", b"\n", b"id,name\n1,a\n2,b", b"id:number,name\n1,a", b"id,n:number\n1,3\n2,3.5\n3,\n4, 7 \n5,1e3",
        b"id,n:number\n1,abc", b"id,n:boolean\n1,true\n2,false\n3,", b"id,n:boolean\n1,True", b"id,n:boolean\n1, true ",
        b"id,n:foo,m:string\n1,2,3", b"id,a:b:number\n1,2", b"id,x,x\n1,2,3", b"id,x:number,x\n1,2,zz", b"id,x\n1",
        b"id,x\n1,2,3", b'id,x\n"1","a""b"\n', b'id,x\n1,"a\nb"\n', b"id,x\r\n1,b\r\n\r\n2,c", b"id,x\n1,\xff",
        b"\xef\xbb\xbfid,x\n1,2", b"id,x\n1,a b \n", b"id,x\n 1,a", b'id,x\n1,"abc', b'id,x\n1,a"b"c', b'id,x\n1,"a"b',
        b"id,n:number\n1,9223372036854775808", b"id,n:number\n1,+5", b"id,n:number\n1,.5\n2,5.", b"id,n:number\n1,1_0",
        b"id,n:number\n1,-0\n2,-0.0\n3,1e400", b"id,\n1,2", b"id,:number\n1,2", b",\n1,2", b"id,x\n1,null",
        b"id,x\r1,2\r3,4",
        b"id,x\n,2", b'id,x\n1,\\"a', b"id,x\n1,a\\,b", b"x,y\n1,2", b"id,id\n1,2", b" id,x\n1,2", b"id,n: number\n1,2",
        b"id,n:Number\n1,2", b"id,x\n1,2\n\n\n", b"id\n\n1\n", b'id\n""\n', b"id,x\n1,\xc2\xa0\n",
        b"id,n:number\n1,\xc2\xa05\xc2\xa0\n", b"id,n:number\n1,0x10\n", b"id,n:number\n1,\xd9\xa1\n",
        b"id,n:number\n1,\x1c5",
        b"id,n:number\n1,nan\n2,+inf\n3,-Infinity\n4,iNf", b"id,n:number\n1,infi", b"id,n:number\n1,+",
        b"id,n:number\n1,.",
        b"id,n:number\n1,e5", b"id,n:number\n1,1e+5\n2,+.5e-3", b"id:number\n1.0", b"id:number\n7", b"id:number\n1e16",
        b"id,n:number\n1,00012\n2,123456789012345678901234567890\n3,0.1\n4,1e300", b"id,x\n1,2\x00", b'id,x\n1,"a\rb"',
        b"id,x\n1,a\n\r2,b", b'id,x\n1,"a""', b'id,x\n1,"a" ,b', b'id,x\n1, "a"', b'"id"z,x\n1,2', b'id,"x\n1,2',
        b"id,x\n1,2\n  \n", b"id\n \n", b'id\n1\n"\n', b"\n\nid,x\n1,2", b"id:number,x\n0,a\n-0,b", b"id,x\n1,a\n1,b",
    ]  # fmt: skip
    yield from (Case(body, CSV) for body in bodies)
    yield Case(b"id,x\n1,%b" % (b"long " * 60_000), CSV)
    for mark in (";", "|", "\t", ":", " ", '"'):
        yield Case(mark.join(("id", "x", "y")).encode() + b"\n" + mark.join("123").encode(), CSV, csv_delimiter=mark)
    yield from (Case(b"id,x", CSV, csv_delimiter=mark) for mark in ("", "é", ",,"))
    yield Case(b"", JSON, csv_delimiter="é")
    yield Case(b"", None, csv_delimiter="é")
    yield Case(b"", None, csv_delimiter=";")


def content_type_cases() -> Iterator[Case]:
    types = [
        None, b"text/plain", b"application/json; charset=utf-8", b"APPLICATION/JSON", b"application/json;",
        b"application/jsonx", b"garbage", b"GARBAGE", b"application/ndjson", b"application/json, text/csv", b"*/*",
        b"application/vnd.api+json", b'application/json;charset="x"', b"a/b/c", b"application/json;charset",
        b"application/json;charset=", b"application/json ; charset=utf-8", b"application/json;;a=b",
        b"application/json;a=b;c",
        b'application/JSON;a="b;c"', b"text/caf\xc3\xa9", b"application/json/", b"application/json; a = b",
        b'application/json;a="', b"application/json; a=b;", b"application/json+json", b"TEXT/Plain; a=b", b"text/+json",
        b"text/a+b+json", b"*/json",
    ]  # fmt: skip
    yield from (Case(b'[{"id":1}]', value, shared=True) for value in types)


def encoding_cases() -> Iterator[Case]:
    plain = b'[{"id":1,"t":"%b"}]' % (b"abcdefgh" * 100)
    zipped, deflated, brotlied = gzip.compress(plain, mtime=0), zlib.compress(plain), brotli.compress(plain)
    for encoding in (b"identity", b"compress", b"", b"foo", b"zstd", b"gzip, br"):
        yield Case(plain, encoding=encoding, shared=True)
    for encoding, body in (
        (b"gzip", zipped), (b"GZIP", zipped), (b"gzip", plain), (b"gzip", zipped * 2), (b"gzip", zipped + b"junk"),
        (b"gzip", zipped[:-4]), (b"gzip", zipped[:-9]), (b"gzip", zipped[:5]), (b"gzip", b""),
        (b"gzip", gzip.compress(b"", mtime=0)),
        (b"x-gzip", zipped), (b"deflate", deflated), (b"deflate", deflated[2:-4]), (b"deflate", deflated + b"junk"),
        (b"deflate", deflated[:-3]), (b"deflate", deflated[:-1] + b"?"), (b"deflate", b""), (b"deflate", plain),
        (b"br", brotlied), (b"br", brotlied + b"x"), (b"br", b""), (b"br", brotlied[: len(brotlied) // 2]),
        (b"br", plain),
    ):  # fmt: skip
        yield Case(body, encoding=encoding, shared=True)


CASES = [
    *json_cases(), *key_cases(), *ndjson_cases(), *csv_cases(), *content_type_cases(), *encoding_cases(),
]  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """What became of a case: an HTTP error, a failed task, or documents."""

    status: int
    error: dict[str, Any] | None
    received: int | None = None
    documents: list[Any] | None = None


@dataclass(frozen=True)
class Ours:
    """The same from us; `unjudged`: we leave it to a node, which must refuse it (with a task, or at once)."""

    verdict: Verdict | None
    unjudged: Unjudged | None = None
    body: bytes = b""
    primary_key: str | None = None
    distinct: int = 0


def ours_of(case: Case) -> Ours:
    try:
        if case.csv_delimiter is not None:
            check_delimiter(case.csv_delimiter)
        form = check_content_type(case.content_type, case.csv_delimiter)
        plain = decompress(case.body, case.encoding, max_bytes=LIMIT)
        payload = decode_payload(plain, form, csv_delimiter=case.csv_delimiter)
        batch = read_batch(
            payload, index_uid="x", primary_key=case.primary_key, anti_entropy=True, reject_missing=False
        )
    except ApiError as error:
        return Ours(Verdict(error.status, dict(error.body())))
    except TaskFailure as failure:
        return Ours(Verdict(202, dict(failure.error), failure.received))
    except Unjudged as unjudged:
        return Ours(None, unjudged)
    stamped = stamp_batch(batch, stamp=1_763_000_000_000_000, shards=SHARDS, updated=True)
    body = node_payload(stamped, range(SHARDS))
    return Ours(Verdict(202, None, batch.received), None, body, batch.primary_key, batch.distinct)


@dataclass(frozen=True)
class Comparison:
    node: Verdict
    ours: Ours
    resent: Verdict | None


def send(node: RealNode, uid: str, case: Case) -> httpx.Response:
    path = f"/indexes/{uid}/documents"
    return node.api.request("POST", path, content=case.body, headers=case.headers, params=case.query)


def settle(node: RealNode, uid: str, response: httpx.Response) -> Verdict:
    if response.status_code != 202:
        return Verdict(response.status_code, response.json())
    task = node.api.wait_task(response.json())
    received = task["details"]["receivedDocuments"]
    if task["error"]:
        return Verdict(202, task["error"], received)
    found = node.api.request("GET", f"/indexes/{uid}/documents", params={"retrieveVectors": True})
    return Verdict(202, None, received, json.loads(strip(found.content))["results"])


@pytest.fixture(scope="module")
def node(cluster_pool: ClusterPool) -> Iterator[RealNode]:
    """A node of this module's own: it ends up with hundreds of indexes."""
    own = RealNode("oracle", cluster_pool.folder())
    try:
        own.start()
        own.wait_serving()
        yield own
    finally:
        own.close()


@pytest.fixture(scope="module")
def comparisons(node: RealNode) -> dict[int, Comparison]:
    """Everything is sent before anything is waited for, so that the node works through it in one go."""
    sent = []
    for number, case in enumerate(CASES):
        ours = ours_of(case)
        uid = f"{number}-first"
        if case.shared:
            uid = "shared"
        elif case.primary_key and ours.verdict is not None and ours.verdict.error is not None:
            # Creating an index costs most. Where all fail over one key nothing stays behind; without a key named,
            # neighbours in a node's batch would be judged by the key of the first.
            uid = f"failing-{case.primary_key.encode().hex()}"
        first = send(node, uid, case)
        again = None
        if ours.verdict is not None and ours.verdict.error is None and not case.shared:
            again = send(node, f"{number}-again", Case(ours.body, primary_key=ours.primary_key))
        sent.append((ours, uid, first, again))
    results = {}
    for number, (ours, uid, first, again) in enumerate(sent):
        resent = None if again is None else settle(node, f"{number}-again", again)
        results[number] = Comparison(settle(node, uid, first), ours, resent)
    return results


@pytest.mark.parametrize("number", range(len(CASES)), ids=map(str, CASES))
def test_a_payload_fares_as_on_a_node(comparisons: dict[int, Comparison], number: int) -> None:
    compared = comparisons[number]
    node, ours = compared.node, compared.ours
    if ours.unjudged is not None:
        assert node.error is not None, f"a node takes it, we cannot: {ours.unjudged}"
        if ours.unjudged.task:
            assert node.status == 202
        return
    assert ours.verdict is not None
    assert (ours.verdict.status, ours.verdict.error) == (node.status, node.error)
    if node.status == 202:
        assert ours.verdict.received == node.received
    if compared.resent is not None:
        assert node.documents is not None
        assert compared.resent.error is None
        assert json.dumps(compared.resent.documents) == json.dumps(node.documents)
        assert ours.distinct == len(node.documents)


def test_the_table_covers_all_outcomes(comparisons: dict[int, Comparison]) -> None:
    """No format may slip into "a node must judge that": most of the table is decided here."""
    undecided = [case for number, case in enumerate(CASES) if comparisons[number].ours.unjudged is not None]
    assert len(undecided) < len(CASES) / 3
    for form, kind in ((Format.JSON, JSON), (Format.NDJSON, NDJSON), (Format.CSV, CSV)):
        taken = [c for n, c in enumerate(CASES) if c.content_type == kind and comparisons[n].node.documents]
        assert len(taken) > 5, form


IDS = [
    b"[]", b"", b" ", b"{}", b"1", b"null", b'[1,"2"]', b"[1.0]", b"[-0]", b"[1e2]", b"[true]", b"[null]", b"[[1]]",
    b"[{}]",
    b'[{"id":1}]', b'["a b"]', b'[""]', b'[" 1 "]', b"[18446744073709551616]", b"[1] x", b"[1", b"nope", b'["\\ud800"]',
    b'["\xff"]', b"[1,1]", b'["\\u0061"]', b'[1,"a b",null]', b"\xef\xbb\xbf[1]", b"[1,]", b"[1e400]",
    b"[" * 127 + b"]" * 127, b"[" * 128 + b"]" * 128,
]  # fmt: skip


@pytest.mark.parametrize("body", IDS, ids=lambda body: repr(body[:40]))
def test_ids_to_delete_are_read_as_a_node_reads_them(node: RealNode, index_name: str, body: bytes) -> None:
    stored = ["1", "2", "3", "true", "null", "a", "-0", "b"]
    api = node.api
    api.succeeded(api.expect(api.request("POST", f"/indexes/{index_name}/documents", json=[{"id": i} for i in stored])))
    headers = {"content-type": "application/json", "connection": "close"}
    response = api.request("POST", f"/indexes/{index_name}/documents/delete-batch", content=body, headers=headers)
    ids: list[str] = []
    refusal: ApiError | Unjudged | None = None
    try:
        ids = read_ids(body)
    except (ApiError, Unjudged) as error:
        refusal = error
    if isinstance(refusal, ApiError):
        assert (response.status_code, response.json()) == (refusal.status, refusal.body())
        return
    if refusal is not None:
        assert response.status_code == 400
        return
    assert response.status_code == 202
    task = api.wait_task(response.json())
    assert task["details"]["providedIds"] == len(ids)
    assert task["error"] == unusable_id(ids)
    if task["error"] is None:
        left = [document["id"] for document in api.get(f"/indexes/{index_name}/documents")["results"]]
        assert left == [key for key in stored if key not in ids]


JSON_TYPES = [
    None, b"text/plain", b"text/plain; a=b", b"text/csv", b"application/json; charset=utf-8",
    b"application/vnd.api+json",
    b"text/json", b"garbage", b"application/JSON", b"application/x-ndjson",
]  # fmt: skip


@pytest.mark.parametrize("value", JSON_TYPES)
def test_routes_for_one_json_value_ask_for_json(node: RealNode, index_name: str, value: bytes | None) -> None:
    headers = [(b"connection", b"close")] if value is None else [(b"connection", b"close"), (b"content-type", value)]
    path = f"/indexes/{index_name}/documents/delete-batch"
    response = node.api.request("POST", path, content=b"[7]", headers=headers)
    refusal: ApiError | None = None
    try:
        check_json_content_type(value)
    except ApiError as error:
        refusal = error
    if refusal is None:
        assert response.status_code == 202
    else:
        assert (response.status_code, response.json()) == (refusal.status, refusal.body())
