"""What a key's index patterns and a tenant token's rules let a request touch."""

from __future__ import annotations

from typing import Any

import pytest

from miroir.errors import ApiError
from miroir.security import EVERYTHING, Access
from miroir.security.access import Patterns, Rules


@pytest.mark.parametrize(
    ("patterns", "covered", "not_covered"),
    [
        (["*"], ["a", "prod_a", "*"], []),
        (["prod_*"], ["prod_a", "prod_"], ["prod", "a_prod_", "PROD_a"]),
        (["a", "b*"], ["a", "b", "bb"], ["aa", ""]),
        ([], [], ["a", ""]),
    ],
)
def test_patterns(patterns: list[str], covered: list[str], not_covered: list[str]) -> None:
    access = Access(Patterns(patterns))
    assert [uid for uid in [*covered, *not_covered] if access.covers(uid)] == covered
    for uid in not_covered:
        with pytest.raises(ApiError, match="The provided API key is invalid") as refusal:
            access.check(uid)
        assert (refusal.value.status, refusal.value.code, refusal.value.type) == (403, "invalid_api_key", "auth")
    for uid in covered:
        access.check(uid)


def test_lists_are_narrowed_to_what_is_covered() -> None:
    assert EVERYTHING.visible is None
    assert Access(Patterns(["x", "*"])).visible is None
    narrow = Access(Patterns(["b*", "a"]))
    assert narrow.visible == frozenset({"a", "b*"})
    assert [narrow.sees(uid) for uid in ("a", "bc", "c", None)] == [True, True, False, False]
    assert EVERYTHING.sees(None)


@pytest.mark.parametrize(
    ("rules", "client", "filter"),
    [
        (None, "n < 3", "n < 3"),
        ({"*": None}, "n < 3", "n < 3"),
        ({"*": "t = x"}, None, "t = x"),
        ({"*": "t = x"}, "n < 3", ["n < 3", "t = x"]),
        ({"*": "t = x"}, ["n < 3", ["a", "b"]], ["n < 3", ["a", "b"], "t = x"]),
        ({"*": ["t = x", ["c", "d"]]}, ["n < 3"], ["n < 3", "t = x", ["c", "d"]]),
        ({"*": "t = x"}, 5, [5, "t = x"]),
        ({"*": 5}, None, 5),
        ({"*": "t = x"}, "", ["", "t = x"]),
        # The exact name wins, whatever the patterns say; then the longest pattern.
        ({"prod_*": "t = x", "prod_a": None}, None, None),
        ({"prod_*": "t = x", "prod_a": "t = y"}, None, "t = y"),
        ({"p*": "t = y", "prod_*": "t = x", "*": "n = 1"}, None, "t = x"),
        ({"prod_ab*": "t = y", "*": "t = x"}, None, "t = x"),
    ],
)
def test_the_filter_of_a_rule_is_put_beside_the_clients(rules: Rules | None, client: Any, filter: Any) -> None:
    body = {"q": "x"} if client is None else {"q": "x", "filter": client}
    before = dict(body)
    narrowed = Access(Patterns(["*"]), rules).narrowed("prod_a", body)
    assert narrowed.get("filter") == filter
    assert narrowed["q"] == "x"
    assert body == before


def test_a_null_filter_is_none() -> None:
    assert Access(Patterns(["*"]), {"*": "t = x"}).narrowed("a", {"filter": None}) == {"filter": "t = x"}


@pytest.mark.parametrize(
    ("key", "rules", "uid", "covered"),
    [
        (["*"], {"a": None}, "a", True),
        (["*"], {"a": None}, "b", False),
        (["a"], {"*": None}, "b", False),
        (["*"], {}, "a", False),
        (["*"], {"a b": None, "a*": "t = x"}, "ab", True),
    ],
)
def test_a_token_gives_no_more_than_its_key(key: list[str], rules: Rules, uid: str, covered: bool) -> None:
    assert Access(Patterns(key), rules).covers(uid) is covered
