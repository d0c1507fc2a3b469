"""Errors: the shape clients see, and that every code of ours is documented."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from miroir.api.errors_page import errors_page
from miroir.errors import MIROIR_CODES, ApiError, miroir_error, node_error

_PAGE = Path(__file__).parents[3] / "docs" / "errors.md"
# DATA_PLANE's table gives each code its status and type; a code that is not built yet is not in the catalogue.
_DESIGNED = {
    400: (
        "invalid_request",
        {"miroir_dump_invalid", "miroir_primary_key_required", "miroir_reserved_field", "miroir_reserved_token"},
    ),
    401: ("auth", {"miroir_invalid_auth", "miroir_jwt_invalid"}),
    403: ("auth", {"miroir_jwt_scope_denied", "miroir_missing_csrf", "miroir_csrf_mismatch", "miroir_origin_denied"}),
    404: ("invalid_request", {"miroir_alias_not_found", "miroir_dump_import_not_found"}),
    409: (
        "invalid_request",
        {
            "miroir_alias_conflict",
            "miroir_dump_import_conflict",
            "miroir_idempotency_key_reused",
            "miroir_multi_alias_not_writable",
            "miroir_topology_conflict",
        },
    ),
    429: ("auth", {"miroir_rate_limited"}),
    501: ("invalid_request", {"miroir_not_supported"}),
    503: (
        "system",
        {
            "miroir_no_quorum",
            "miroir_shard_unavailable",
            "miroir_settings_version_stale",
            "miroir_index_frozen",
            "miroir_overloaded",
        },
    ),
    504: ("system", {"miroir_timeout"}),
}


def test_every_code_is_documented_and_no_other() -> None:
    headings = re.findall(r"^## `([a-z_]+)`$", _PAGE.read_text(), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == set(MIROIR_CODES)


def test_the_page_has_a_place_for_every_code_and_leads_nowhere_else() -> None:
    page = errors_page().decode()
    assert re.findall(r'<h2 id="([a-z_]+)"><code>\1</code></h2>', page) == re.findall(
        r"^## `([a-z_]+)`$", _PAGE.read_text(), re.MULTILINE
    )
    assert "href" not in page
    assert "See dumps.md." in page
    assert "scatter.write_quorum" in page


@pytest.mark.parametrize("code", MIROIR_CODES)
def test_codes_are_as_designed(code: str) -> None:
    info = MIROIR_CODES[code]
    type_, codes = _DESIGNED[info.status]
    assert code in codes
    assert info.type == type_
    assert (info.retry_after_s is not None) == (info.status == 503)


@pytest.mark.parametrize("code", MIROIR_CODES)
def test_an_error_of_ours(code: str) -> None:
    error = miroir_error(code, "what went wrong")
    info = MIROIR_CODES[code]
    assert error.status == info.status
    assert error.body() == {
        "message": "what went wrong",
        "code": code,
        "type": info.type,
        "link": f"/_miroir/errors#{code}",
    }
    assert list(error.body()) == ["message", "code", "type", "link"]
    assert json.loads(json.dumps(error.body())) == error.body()
    assert error.headers == ({} if info.retry_after_s is None else {"retry-after": str(info.retry_after_s)})


def test_unknown_codes_are_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        miroir_error("miroir_nothing", "x")
    with pytest.raises(KeyError):
        miroir_error("index_not_found", "x")


def test_an_error_in_a_node_s_place() -> None:
    error = node_error(404, "index_not_found", "Index `x` not found.")
    assert (error.status, error.headers) == (404, {})
    assert error.body() == {
        "message": "Index `x` not found.",
        "code": "index_not_found",
        "type": "invalid_request",
        "link": "https://docs.meilisearch.com/errors#index_not_found",
    }
    assert node_error(403, "invalid_api_key", "x", type="auth").type == "auth"


def test_it_says_what_it_is() -> None:
    error = ApiError(418, "no coffee", code="teapot", type="system", link="l", headers={"a": "b"})
    assert str(error) == "teapot (418): no coffee"
    assert error.args == ("no coffee",)
    assert error.headers == {"a": "b"}
