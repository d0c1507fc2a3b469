"""What is done at a node so that it holds the cluster's keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miroir.nodes import NodeKey
from miroir.security.key_orders import adopted, default_kind, given_way, orders, row_of
from miroir.store import KeyRow

NOW = "2026-03-01T12:00:00.5Z"
NOW_NS = 1_772_366_400_500_000_000


def key(uid: str, **changes: object) -> NodeKey:
    made = NodeKey(uid, f"value of {uid}", ("search",), ("*",), NOW, NOW)
    for name, value in changes.items():
        made = replace_struct(made, name, value)
    return made


def replace_struct(made: NodeKey, name: str, value: object) -> NodeKey:
    fields = {field: getattr(made, field) for field in made.__struct_fields__} | {name: value}
    return NodeKey(**fields)


def admin(uid: str, created_at: str = NOW) -> NodeKey:
    return key(uid, name="Default Admin API Key", description="x", actions=("*",), created_at=created_at)


def rows(*keys: NodeKey, **changes: object) -> dict[str, KeyRow]:
    return {each.uid: replace(row_of(each), **changes) for each in keys}  # type: ignore[arg-type]  # a row's fields


def ordered(found: list[NodeKey], known: dict[str, KeyRow], own: str | None = None) -> tuple[object, ...]:
    plan = orders(found, known, own=own, now_ns=NOW_NS)
    return (
        list(plan.drop),
        [row.uid for row in plan.make],
        [row.uid for row in plan.change],
        [each.uid for each in plan.foreign],
    )


def test_a_node_that_holds_them_is_left_alone() -> None:
    plan = orders([key("a"), key("b")], rows(key("a"), key("b")), own=None, now_ns=NOW_NS)
    assert (plan.drop, plan.make, plan.change, plan.foreign) == ((), (), (), ())
    assert plan.values == {"a": "value of a", "b": "value of b"}


@pytest.mark.parametrize(
    ("found", "known", "expected"),
    [
        ([], rows(key("a")), ([], ["a"], [], [])),
        ([key("a")], rows(key("a"), state="deleted"), (["a"], [], [], [])),
        ([key("a")], rows(key("a"), state="making"), ([], [], [], [])),
        ([], rows(key("a"), state="making"), ([], [], [], [])),
        ([], rows(key("a"), state="deleted"), ([], [], [], [])),
        ([key("a", name="old")], rows(key("a", name="new")), ([], [], ["a"], [])),
        ([key("a")], rows(key("a", description="new")), ([], [], ["a"], [])),
        # What cannot be changed is made anew.
        ([key("a", actions=("*",))], rows(key("a")), (["a"], ["a"], [], [])),
        ([key("a", indexes=("x",))], rows(key("a")), (["a"], ["a"], [], [])),
        ([key("a", expires_at="2050-01-01T00:00:00Z")], rows(key("a")), (["a"], ["a"], [], [])),
        # The same end, written otherwise.
        (
            [key("a", expires_at="2050-01-01T00:00:00Z")],
            rows(key("a", expires_at="2050-01-01T01:00:00+01:00")),
            ([], [], [], []),
        ),
        # A node takes no key that has expired; one that has it keeps it.
        ([], rows(key("a", expires_at=NOW)), ([], [], [], [])),
        ([key("a", expires_at=NOW)], rows(key("a", expires_at=NOW)), ([], [], [], [])),
        ([key("x")], {}, ([], [], [], ["x"])),
        ([admin("new")], rows(admin("ours"), default_key="Default Admin API Key"), (["new"], ["ours"], [], [])),
        # Renamed or deleted, the cluster's still stands for the kind.
        (
            [admin("new")],
            rows(admin("ours"), default_key="Default Admin API Key", name="mine", state="deleted"),
            (["new"], [], [], []),
        ),
        ([admin("new")], rows(key("a")), ([], ["a"], [], ["new"])),
    ],
)
def test_what_is_to_be_done(found: list[NodeKey], known: dict[str, KeyRow], expected: tuple[object, ...]) -> None:
    assert ordered(found, known) == expected


def test_the_key_we_speak_to_nodes_with_is_nobodys_business() -> None:
    found = [admin("own"), key("other")]
    known = rows(admin("ours"), default_key="Default Admin API Key")
    assert ordered(found, known, "value of own") == ([], ["ours"], [], ["other"])


def test_the_oldest_of_each_kind_is_taken_over_once() -> None:
    found = [admin("young", "2026-03-01T12:00:01Z"), admin("old", "2026-03-01T12:00:00.75Z"), key("x")]
    (row,) = adopted(found, {})
    assert (row.uid, row.default_key, row.state) == ("old", "Default Admin API Key", "live")
    assert adopted(found, {"old": row}) == []
    assert adopted(found, {"old": replace(row, state="deleted")}) == []


@pytest.mark.parametrize(
    "changes",
    [{"expires_at": NOW}, {"indexes": ("a",)}, {"actions": ("search",)}, {"name": "Default"}, {"name": None}],
)
def test_only_what_a_new_node_makes_is_a_default_key(changes: dict[str, object]) -> None:
    made = admin("a")
    assert default_kind(made) == "Default Admin API Key"
    for name, value in changes.items():
        made = replace_struct(made, name, value)
    assert default_kind(made) is None


def search(uid: str) -> NodeKey:
    return key(uid, name="Default Search API Key", actions=("search",))


OWN = rows(admin("own admin"), default_key="Default Admin API Key") | rows(
    search("own search"), default_key="Default Search API Key"
)


@pytest.mark.parametrize(
    ("others", "imported", "gone"),
    [
        (rows(admin("a"), search("s")), {"a", "s"}, ["own admin", "own search"]),
        (rows(admin("a"), key("x", name="x")), {"a", "x"}, ["own admin"]),
        (rows(key("x", name="x")), {"x"}, []),
        ({}, set(), []),
        ({}, {"own admin"}, []),
        (rows(admin("a"), key("x", name="x")), {"a"}, []),
        (rows(admin("a")) | rows(key("x", name="x"), state="deleted"), {"a"}, ["own admin"]),
        (rows(admin("a"), state="deleted"), {"a"}, []),
        (rows(key("a", name="Default Admin API Key", actions=("search",))), {"a"}, []),
    ],
    ids=[
        "all kinds", "one kind", "no kind", "no keys", "its own keys come back", "a key was made here",
        "a key was made here and deleted", "what was imported is deleted", "a kind in name only",
    ],
)  # fmt: skip
def test_default_keys_give_way_to_imported_ones_where_nobody_made_a_key(
    others: dict[str, KeyRow], imported: set[str], gone: list[str]
) -> None:
    assert given_way(imported, OWN | others) == gone
