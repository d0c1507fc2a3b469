"""`/indexes/{uid}/documents`: writing and reading documents."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson

from miroir.api.messages import Request, Response, json_response
from miroir.api.reading import (
    NULL_FILTER,
    Query,
    is_count,
    json_object,
    json_or_text,
    known_index,
    refuse_body,
    sort_criteria,
    unpacked_body,
)
from miroir.api.routing import Router
from miroir.api.settings_version import check_version
from miroir.cluster import Verdicts, Written
from miroir.errors import ApiError, miroir_error, node_error
from miroir.indexes import Registry, check_uid, index_not_found, is_uid
from miroir.ingest import (
    DocumentWriter,
    Method,
    Unjudged,
    Upload,
    check_content_type,
    check_delimiter,
    check_json_content_type,
    other_key,
    read_ids,
)
from miroir.nodes import NodeCall
from miroir.search import DocumentReader, Listed
from miroir.tasks import enqueued_view

_UPLOAD_PARAMETERS: Final = ("primaryKey", "csvDelimiter")
_LIST_PARAMETERS: Final = ("offset", "limit", "fields", "retrieveVectors", "ids", "filter", "sort")


class DocumentResource:
    """Documents: add, replace, update, delete, get, list."""

    def __init__(
        self,
        registry: Registry,
        writer: DocumentWriter,
        reader: DocumentReader,
        verdicts: Verdicts,
        aside: AbstractAsyncContextManager[None],
    ) -> None:
        """`aside`: where an upload stands while a node's task says what is wrong with it."""
        self._registry = registry
        self._writer = writer
        self._reader = reader
        self._verdicts = verdicts
        self._aside = aside

    def register(self, router: Router) -> None:
        """Put the routes up."""
        documents = "/indexes/{uid}/documents"
        router.add("POST", documents, self.add, action="documents.add")
        router.add("PUT", documents, self.add, action="documents.add")
        router.add("GET", documents, self.list, action="documents.get")
        router.add("POST", f"{documents}/fetch", self.fetch, action="documents.get", reads=True)
        router.add("POST", f"{documents}/delete-batch", self.delete_batch, action="documents.delete")
        router.add("GET", f"{documents}/{{id}}", self.get, action="documents.get")
        router.add("DELETE", f"{documents}/{{id}}", self.delete_one, action="documents.delete")

    # -- writing -----------------------------------------------------------------------------------------------------

    async def add(self, request: Request) -> Response:
        """POST replaces, PUT updates; a task."""
        with Query(request, _UPLOAD_PARAMETERS, "document") as query:
            delimiter = query.text("csvDelimiter")
            if delimiter is not None:
                try:
                    check_delimiter(delimiter)
                except ApiError as refusal:
                    query.refuse("csvDelimiter", refusal.message)
        uid = request.params[0]
        check_uid(uid)
        form = check_content_type(request.headers.get(b"content-type"), delimiter)
        upload = Upload(await request.plain_body(), form, delimiter, query.text("primaryKey"))
        method: Method = "POST" if request.method == "POST" else "PUT"
        try:
            return written(await self._writer.add(uid, method, upload, creates=request.access.creates))
        except Unjudged as unjudged:
            return await self._judged_by_a_node(request, uid, upload.primary_key, unjudged)

    async def _judged_by_a_node(
        self, request: Request, uid: str, primary_key: str | None, unjudged: Unjudged
    ) -> Response:
        """The task that a node fails for this payload, or its refusal. What it takes we cannot spread: 501."""
        index = self._registry.find(uid)
        known = None if index is None else index.row.primary_key
        own = uid if index is None else index.uid
        verdict = await self._verdicts.judge_task(to_scratch(request, "/documents", known), own, aside=self._aside)
        if verdict is None:
            reason = f"This payload cannot be spread over shards: {unjudged.reason}."
            raise miroir_error("miroir_not_supported", reason)
        error = verdict.error
        if index is None and not request.access.creates:
            error = index_not_found(uid).body()
        elif known is not None and primary_key not in (None, known):
            error = other_key(known)  # is what a node finds first
        return written(await self._writer.fail(own, "documentAdditionOrUpdate", error, received=verdict.received))

    async def delete_batch(self, request: Request) -> Response:
        """Delete by a list of ids; a task."""
        uid = request.params[0]
        check_uid(uid)
        check_json_content_type(request.headers.get(b"content-type"))
        try:
            ids = read_ids(await unpacked_body(self._verdicts, request, "/indexes/{index}/documents/delete-batch"))
        except Unjudged:
            await self._verdicts.refuse(to_scratch(request, "/documents/delete-batch"), uid)
        return written(await self._writer.delete(uid, ids))

    async def delete_one(self, request: Request) -> Response:
        """Delete one; a task."""
        return written(await self._writer.delete(request.params[0], [request.params[1]]))

    # -- reading -----------------------------------------------------------------------------------------------------

    async def get(self, request: Request) -> Response:
        """One document."""
        uid, key = request.params
        index = known_index(self._registry, uid)
        check_version(request, index)
        document = await self._reader.get(index, key, request.query_string.decode("latin-1"))
        return Response(200, document, [*index.headers])

    async def list(self, request: Request) -> Response:
        """A page, by query parameters."""
        with Query(request, _LIST_PARAMETERS, "document") as query:
            wanted: dict[str, Any] = {"offset": query.number("offset", 0), "limit": query.number("limit", 20)}
            sort = query.text("sort")
            if sort is not None:
                wanted["sort"] = sort_criteria(sort)
            for name in ("fields", "ids"):
                values = query.listed(name, str, star=name == "fields")
                if values is not None:
                    wanted[name] = values
            if query.boolean("retrieveVectors", False):
                wanted["retrieveVectors"] = True
        filter = query.text("filter")
        if filter:
            wanted["filter"] = json_or_text(filter)
            if wanted["filter"] is None:
                raise node_error(400, "invalid_document_filter", NULL_FILTER)
        return await self._list(request, wanted)

    async def fetch(self, request: Request) -> Response:
        """The same, by a body."""
        template = "/indexes/{index}/documents/fetch"
        wanted = await json_object(self._verdicts, request, template)
        vectors_sound = wanted.get("retrieveVectors", False) is not None  # the others below may be null
        if not (is_count(wanted, "offset") and is_count(wanted, "limit") and vectors_sound):
            await refuse_body(self._verdicts, request, template)
        # Of a member that it knows a node takes null for its absence; one that it does not know it refuses.
        wanted = {name: value for name, value in wanted.items() if value is not None or name not in _LIST_PARAMETERS}
        fields = wanted.get("fields", [])
        if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
            await refuse_body(self._verdicts, request, template)
        return await self._list(request, wanted)

    async def _list(self, request: Request, wanted: Mapping[str, Any]) -> Response:
        uid = request.params[0]
        check_uid(uid)
        index = self._registry.get_for_reads(uid)
        check_version(request, index)
        listed: Listed = await self._reader.list(index, wanted)
        tail = {"offset": wanted.get("offset", 0), "limit": wanted.get("limit", 20), "total": listed.total}
        body = b'{"results":[' + b",".join(listed.documents) + b"]," + orjson.dumps(tail)[1:]
        return Response(200, body, [*index.headers, *degraded_shards(listed.unavailable)])


def to_scratch(request: Request, route: str, primary_key: str | None = None) -> NodeCall:
    """The request as it is, aimed at a scratch index, or at the name it has where no index can be called that.

    `primary_key`: what the scratch index is to have for one, whatever the request names; None: as the request says.
    """
    query = request.query_string.decode("latin-1")
    if primary_key is not None:
        others = [(name, value) for name, value in request.query() if name != "primaryKey"]
        query = urlencode([*others, ("primaryKey", primary_key)])
    index = "{index}" if is_uid(request.params[0]) else quote(request.params[0], safe="")
    return NodeCall(
        "verdict",
        request.method,
        f"/indexes/{index}{route}" + (f"?{query}" if query else ""),
        request.body,
        request.headers.get(b"content-type", b""),
        request.headers.get(b"content-encoding", b""),
    )


def written(write: Written) -> Response:
    """What a write is answered with: its task, and the groups that lack copies of it."""
    return json_response(202, enqueued_view(write.task), degraded_groups(write.short_groups))


def degraded_groups(groups: tuple[int, ...]) -> list[tuple[bytes, bytes]]:
    """The header that names the groups which lack copies of a write; none when every group has it."""
    return [(b"x-miroir-degraded", b"groups=" + b",".join(b"%d" % group for group in groups))] if groups else []


def degraded_shards(shards: tuple[int, ...]) -> list[tuple[bytes, bytes]]:
    """The header that names the shards an answer says nothing about; none when it is complete."""
    if not shards:
        return []
    listed = b",".join(
        b"%d" % shard for shard in sorted(set(shards))
    )  # of several indexes behind an alias, one may repeat
    return [(b"x-miroir-degraded", b"shards=" + listed)]
