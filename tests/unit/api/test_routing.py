"""Routes are found as a node finds them."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miroir.api import Router
from miroir.api.messages import Request, Response


async def endpoint(_: Request) -> Response:
    return Response(200)


def router() -> Router:
    made = Router()
    made.add("GET", "/health", endpoint, action=None)
    for method in ("GET", "POST"):
        made.add(method, "/indexes", endpoint, action="stats.get")
    made.add("GET", "/indexes/{uid}", endpoint, action="stats.get")
    made.add("GET", "/indexes/{uid}/documents/{id}", endpoint, action="stats.get")
    made.add("POST", "/indexes/{uid}/documents/fetch", endpoint, action="stats.get")
    return made


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/health", ("/health", ())),
        ("GET", "/health/", ("/health", ())),
        ("GET", "//health", ("/health", ())),
        ("GET", "/%68ealth", ("/health", ())),
        ("GET", "/%69ndexes/books", ("/indexes/{uid}", ("books",))),
        ("GET", "/indexes%2Fbooks", 404),
        ("GET", "/indexes//books///", ("/indexes/{uid}", ("books",))),
        ("GET", "/indexes/books", ("/indexes/{uid}", ("books",))),
        ("GET", "/indexes/a%20b", ("/indexes/{uid}", ("a b",))),
        ("GET", "/indexes/a%2Fb/documents/c%2Fd", ("/indexes/{uid}/documents/{id}", ("a/b", "c/d"))),
        ("GET", "/indexes/caf%C3%A9", ("/indexes/{uid}", ("café",))),
        ("GET", "/indexes/health", ("/indexes/{uid}", ("health",))),
        ("POST", "/indexes/books/documents/fetch", ("/indexes/{uid}/documents/fetch", ("books",))),
        ("GET", "/nowhere", 404),
        ("GET", "/", 404),
        ("GET", "", 404),
        ("GET", "/Health", 404),
        ("GET", "/indexes/books/documents", 404),
        ("GET", "/indexes/books/documents/1/more", 404),
        ("POST", "/health", 405),
        ("HEAD", "/health", 405),
        ("OPTIONS", "/indexes", 405),
        ("get", "/health", 405),
        ("DELETE", "/indexes/books", 405),
    ],
)
def test_what_is_found(method: str, path: str, found: tuple[str, tuple[str, ...]] | int) -> None:
    got = router().find(method, path)
    assert (got if isinstance(got, int) else (got[0].template, got[1])) == found


def test_a_fixed_part_wins_over_a_variable_one_for_every_method() -> None:
    """As on a node: a document called `fetch` cannot be read by its path."""
    assert router().find("GET", "/indexes/books/documents/fetch") == 405


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_name_survives_its_encoding(uid: str, key: str) -> None:
    found = router().find("GET", f"/indexes/{quote(uid, safe='')}/documents/x{quote(key, safe='')}")
    assert not isinstance(found, int)
    assert found[1] == (uid, f"x{key}")


def test_a_route_without_an_action_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="action"):
        Router().add("GET", "/indexes", endpoint)  # type: ignore[call-arg]  # that is the point


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [("GET", "/indexes/books", True), ("GET", "/indexes", False), ("GET", "/health", False)],
)
def test_the_index_of_a_path_is_what_a_key_must_cover(method: str, path: str, names: bool) -> None:
    found = router().find(method, path)
    assert not isinstance(found, int)
    assert found[0].names_index is names


def test_only_what_says_so_is_open() -> None:
    found = [router().find("GET", path) for path in ("/health", "/indexes")]
    assert [route[0].action for route in found if not isinstance(route, int)] == [None, "stats.get"]
