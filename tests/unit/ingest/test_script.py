"""Edit functions wrapped: what is found in a text, where its parts go, and how errors come back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.ingest.script import read_script, unwrap_error, wrap
from miroir.stamps import stamp_text

STAMP = 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("text", "functions", "returns", "exits"),
    [
        ("", [], False, False),
        ("doc.x = 1", [], False, False),
        ("doc.x = 1; return; doc.y = 2", [], True, False),
        ("fn f() { return 1; } doc.x = f()", ["fn f() { return 1; }"], False, False),
        ("private fn f(x) { #{a: x} }\nreturn", ["private fn f(x) { #{a: x} }"], True, False),
        ("fn f() { if true { return 1 } 2 } fn g() { f() }", ["fn f() { if true { return 1 } 2 }", "fn g() { f() }"],
         False, False),
        ('doc.x = "return; fn f() { }" // return\n/* fn g() { /* return */ } exit() */', [], False, False),
        ("doc.x = `fn ${if true { return 1 } else { `in ${ #{a: 2} }` }} }`; fn g() { }", ["fn g() { }"], True, False),
        ("doc.x = `a `` ${1} return`; doc.c = '}'; doc.q = '\\''; fn g() { }", ["fn g() { }"], False, False),
        ('doc.x = #" fn f() { "return" "#; doc.y = ##""# return"##', [], False, False),
        ("doc.fn_x = 1; doc.returned = 2; doc.exit = 3; doc.exits()", [], False, False),
        ("exit()", [], False, True),
        ("fn f() { exit  (3) }", ["fn f() { exit  (3) }"], False, True),
        ("doc.t = doc.t.map(|x| { return x })", [], True, False),
        ("fn f() {", [], False, False),
        ("` ${ `", [], False, False),
    ],
)  # fmt: skip
def test_what_is_read_of_a_text(text: str, functions: list[str], returns: bool, exits: bool) -> None:
    script = read_script(text)
    assert [text[start:end] for start, end in script.functions] == functions
    assert (script.returns, script.exits) == (returns, exits)


def test_every_line_keeps_its_place() -> None:
    text = "fn f(x) {\n  x }\n\ndoc.x = f(1);\nfn g() { } doc.y = 2"
    lines = wrap(read_script(text), STAMP, updated=True).split("\n")
    assert lines[:5] == ["fn f(x) {", "  x }", "", "             ", "fn g() { }          "]
    assert lines[6:11] == ["         ", "     ", "", "doc.x = f(1);", "           doc.y = 2"]
    plain = wrap(read_script("doc.x = 1 // so\n\ndoc.y = 2 // and"), STAMP, updated=True).split("\n")
    assert plain[1:4] == ["doc.x = 1 // so", "", "doc.y = 2 // and"]


@pytest.mark.parametrize("updated", [True, False])
def test_the_stamp_is_renewed_and_the_place_is_not(updated: bool) -> None:
    wrapped = wrap(read_script("doc = #{}"), STAMP, updated=updated)
    assert f'.sub_string(0, 16) + "{stamp_text(STAMP)}"' in wrapped
    assert ("_miroir_updated_at" in wrapped) == updated
    assert "_miroir_placed_at: " in wrapped
    assert "_miroir_shard: " in wrapped


def test_our_names_are_none_of_the_texts() -> None:
    wrapped = wrap(read_script("let miroir_doc0 = 1; let miroir_fields0 = 2; let miroir_doc1 = 3"), STAMP, updated=True)
    assert "let miroir_doc2 = doc" in wrapped
    assert "let miroir_fields1 = #{" in wrapped


@given(st.text(alphabet="fn{}()\"'`$#/*\n rexitu;.|", max_size=60))
def test_any_text_is_read_to_its_end(text: str) -> None:
    script = read_script(text)
    assert all(0 <= start < end <= len(text) for start, end in script.functions)
    assert all(one[1] <= other[0] for one, other in zip(script.functions, script.functions[1:], strict=False))
    wrapped = wrap(script, STAMP, updated=True)
    # Every line of the client's is in its place: what is a function's in front, the rest behind our first line.
    lines, count = wrapped.split("\n"), text.count("\n") + 1
    front, back = lines[: script.moved_lines], lines[script.moved_lines + 1 :][:count]
    for number, line in enumerate(text.split("\n")):
        merged = "".join(
            one if other == " " else other
            for one, other in zip(back[number][: len(line)], (front or back)[number][: len(line)], strict=True)
        )
        assert merged == line


@given(st.integers(1, 40), st.integers(0, 40), st.integers(1, 200))
def test_a_position_comes_back_to_its_line(line: int, others: int, column: int) -> None:
    text = f"boom (line {line}, position {column})"
    assert unwrap_error(f"boom (line {line + 1}, position {column})", 0) == text
    moved = line + others
    assert unwrap_error(f"boom (line {line + moved + 1}, position {column})", moved) == text
    assert unwrap_error(text, moved) == text  # in a function that was moved it is where it was


def test_the_call_we_added_is_not_told_of() -> None:
    wrapped = "x (line 2, position 1)\nin closure call (line 2, position 9)\nin closure call (line 3, position 4)"
    assert unwrap_error(wrapped, 0) == "x (line 1, position 1)\nin closure call (line 1, position 9)"
    assert unwrap_error("Division by zero: 1 / 0", 0) == "Division by zero: 1 / 0"


def test_fields_of_ours_are_not_told_of() -> None:
    stamp = stamp_text(5)
    message = f'no `id`: `{{"_miroir_placed_at":"{stamp}","_miroir_seq":"{stamp}{stamp}","a":1}}`.'
    assert unwrap_error(message, 0) == 'no `id`: `{"a":1}`.'
    assert re.search("_miroir", unwrap_error(f'`{{"_miroir_shard":"{stamp}"}}`', 0)) is None
