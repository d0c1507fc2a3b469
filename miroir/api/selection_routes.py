"""`/indexes/{uid}/documents`, changed by what they are, not by what they are called: delete by filter, all, edit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from miroir.api.document_routes import to_scratch, written
from miroir.api.messages import Request, Response
from miroir.api.reading import json_object, refuse_body
from miroir.api.routing import Router
from miroir.cluster import Verdicts
from miroir.indexes import check_uid
from miroir.ingest import Changes, delete_all, delete_by_filter, edit_documents, is_filter


class SelectionResource:
    """Changes of documents that a filter chooses, or of all."""

    def __init__(
        self, changes: Changes, verdicts: Verdicts, aside: AbstractAsyncContextManager[None], *, anti_entropy: bool
    ) -> None:
        """`aside`: where a change stands while it waits for those before it."""
        self._changes = changes
        self._verdicts = verdicts
        self._aside = aside
        self._anti_entropy = anti_entropy

    def register(self, router: Router) -> None:
        """Put the routes up."""
        documents = "/indexes/{uid}/documents"
        router.add("DELETE", documents, self.delete_all, action="documents.delete")
        router.add("POST", f"{documents}/delete", self.delete, action="documents.delete")
        router.add("POST", f"{documents}/edit", self.edit, action="documents.edit")

    async def delete_all(self, request: Request) -> Response:
        """Delete every document; a task."""
        return written(await delete_all(self._changes, request.params[0]))

    async def delete(self, request: Request) -> Response:
        """Delete by filter; a task."""
        uid = request.params[0]
        check_uid(uid)
        template = "/indexes/{index}/documents/delete"
        body = await json_object(self._verdicts, request, template)
        filter: Any = body.get("filter")
        if body.keys() != {"filter"} or not is_filter(filter):
            await refuse_body(self._verdicts, request, template)
        check = self._check(request, "/documents/delete")
        return written(await delete_by_filter(self._changes, uid, filter, check, aside=self._aside))

    async def edit(self, request: Request) -> Response:
        """Edit by function; a task. A node looks at the request as it is first: whether it may, and whether it can."""
        uid = request.params[0]
        await self._check(request, "/documents/edit")()
        check_uid(uid)
        body = await json_object(self._verdicts, request, "/indexes/{index}/documents/edit")
        return written(
            await edit_documents(
                self._changes,
                uid,
                body["function"],
                filter=body.get("filter"),
                context=body.get("context"),
                anti_entropy=self._anti_entropy,
                aside=self._aside,
            )
        )

    def _check(self, request: Request, route: str) -> Callable[[], Awaitable[None]]:
        async def check() -> None:
            await self._verdicts.check(to_scratch(request, route), request.params[0])

        return check
