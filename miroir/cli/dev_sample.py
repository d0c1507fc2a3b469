"""Loading the sample catalogue through the public API, as any client would, and one search to show for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

import httpx
import trio

from miroir.cli.dev_process import StartError
from miroir.cli.sample import DEFAULT_COUNT, INDEX_UID, PRIMARY_KEY, SETTINGS, catalogue

BATCH: Final = 1000
SEARCH: Final[dict[str, Any]] = {
    "q": "quiet lamp",
    "matchingStrategy": "all",
    "filter": "price < 200 AND in_stock = true",
    "sort": ["rating:desc"],
    "facets": ["brand", "category"],
    "limit": 5,
}
"""The search that is shown, and printed as a curl line."""

_TASK_LIMIT_S: Final = 300.0
_POLL_S: Final = 0.05


async def load_sample(
    client: httpx.AsyncClient, on_progress: Callable[[int], None], *, count: int = DEFAULT_COUNT
) -> None:
    """Create and fill the index of products; `on_progress` hears how many documents can be searched so far.

    Documents that are there already are left alone. Raises `StartError` when a request or a task fails.
    """
    if await _documents(client) == count:
        on_progress(count)
        return
    if (await client.get(f"/indexes/{INDEX_UID}")).status_code == httpx.codes.NOT_FOUND:
        await _done(client, await _call(client, "POST", "/indexes", {"uid": INDEX_UID, "primaryKey": PRIMARY_KEY}))
    await _done(client, await _call(client, "PATCH", f"/indexes/{INDEX_UID}/settings", SETTINGS))
    products = catalogue(count)
    sent: list[tuple[int, Any]] = []
    while batch := list(itertools.islice(products, BATCH)):
        sent.append((len(batch), await _call(client, "POST", f"/indexes/{INDEX_UID}/documents", batch)))
    for size, task in sent:
        await _done(client, task)
        on_progress(size)


async def search_sample(client: httpx.AsyncClient) -> dict[str, Any]:
    """The answer to `SEARCH`. Raises `StartError`."""
    found: dict[str, Any] = await _call(client, "POST", f"/indexes/{INDEX_UID}/search", SEARCH)
    return found


async def _documents(client: httpx.AsyncClient) -> int:
    response = await client.get(f"/indexes/{INDEX_UID}/stats")
    return int(response.json()["numberOfDocuments"]) if response.is_success else 0


async def _call(client: httpx.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    try:
        response = await client.request(method, path, json=body)
    except httpx.HTTPError as error:
        raise StartError(f"{method} {path}: {type(error).__name__} {error}") from error
    if not response.is_success:
        raise StartError(f"{method} {path}: {response.status_code} {response.text}")
    return response.json()


async def _done(client: httpx.AsyncClient, summary: Any) -> None:
    uid = summary["taskUid"]
    with trio.move_on_after(_TASK_LIMIT_S):
        while True:
            task = await _call(client, "GET", f"/tasks/{uid}")
            if task["status"] in {"failed", "canceled"}:
                raise StartError(f"task {uid} ({task['type']}) {task['status']}: {task['error']}")
            if task["status"] == "succeeded":
                return
            await trio.sleep(_POLL_S)
    raise StartError(f"task {uid} did not end within {_TASK_LIMIT_S:g} s")
