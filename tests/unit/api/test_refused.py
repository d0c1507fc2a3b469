"""Refused routes say why, the page says the same, and none of them is a route that is served."""

from __future__ import annotations

import pytest

from miroir.api import Router
from miroir.api.messages import Request
from miroir.api.refused import REFUSED, Refused, register_refused
from miroir.errors import ApiError
from tests.compat.page import PAGE, page


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.template)
async def test_it_answers_501_with_the_reason(refused: Refused) -> None:
    router = Router()
    register_refused(router)
    path = refused.template.replace("{", "").replace("}", "")
    for method, action in refused.methods.items():
        found = router.find(method, path)
        assert not isinstance(found, int)
        route, params = found
        assert route.action == action
        with pytest.raises(ApiError) as refusal:
            await route.endpoint(Request(method, path, b"", {}, b"", params))
        assert (refusal.value.status, refusal.value.code) == (501, "miroir_not_supported")
        for part in (f"`{method} {path}`", refused.why, refused.instead):
            assert part in refusal.value.message


def test_the_page_holds_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run: python -m tests.compat.page"
