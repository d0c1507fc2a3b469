"""Routes that are not there yet say so, and none of them is one that is."""

from __future__ import annotations

import pytest

from miroir.api import Router, register_unbuilt
from miroir.api.messages import Request
from miroir.api.unbuilt import UNBUILT
from miroir.errors import ApiError


@pytest.mark.parametrize(("method", "template", "action"), UNBUILT)
async def test_it_answers_501(method: str, template: str, action: str) -> None:
    router = Router()
    register_unbuilt(router)
    path = template.replace("{", "").replace("}", "")
    found = router.find(method, path)
    assert not isinstance(found, int)
    route, params = found
    assert route.action == action
    with pytest.raises(ApiError) as refusal:
        await route.endpoint(Request(method, path, b"", {}, b"", params))
    assert (refusal.value.status, refusal.value.code) == (501, "miroir_not_supported")
    assert f"{method} {path}" in refusal.value.message
