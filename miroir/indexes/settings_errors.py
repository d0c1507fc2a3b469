"""A node's error made the client's: its own index name, its own rules and numbers, nothing of ours, nothing hidden."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

import orjson

from miroir.indexes.view import IndexView
from miroir.stamps import STAMP_FIELDS, strip_text

_RULE_NUMBER: Final = re.compile(r"(\brule #)(\d+)")
_RULE_INDEX: Final = re.compile(r"(\.filterableAttributes\[)(\d+)(\])")
_LISTING: Final = re.compile(
    r"Available (?P<kind>sortable attributes|searchable attributes|filterable attributes patterns"
    r"|facet-searchable attributes patterns) are: `(?P<listed>[^\n`]*)`\."
)
_HIDDEN: Final = "<..hidden-attributes>"


def clean_error(
    body: bytes,
    *,
    uid: str,
    physical_uid: str,
    hidden: Collection[str],
    added_rules: int = 1,
    displayed: Collection[str] | None = None,
    shifted: int | None = None,
) -> bytes:
    """An error object of a node as the client's own node would have written it; anything else as it is.

    `hidden`: patterns in a node's lists that are ours alone, beside the stamps. `added_rules`: how many of our rules
    the node has before the client's. `displayed`: the client's displayed attributes (None: all); a node names no
    others in some of its lists. `shifted`: how many of our rules stood before the client's in the *request* that was
    refused; 0 when a node looked at the client's own change, None: as many as it has.
    """
    try:
        error = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return body
    message = clean_message(
        error["message"],
        uid=uid,
        physical_uid=physical_uid,
        hidden=hidden,
        added_rules=added_rules,
        displayed=displayed,
        shifted=shifted,
    )
    if message == error["message"]:
        return body
    return orjson.dumps({**error, "message": message})


def clean_error_of(body: bytes, view: IndexView) -> bytes:
    """`clean_error` of what a node answered about this index."""
    return clean_error(
        body,
        uid=view.uid,
        physical_uid=view.physical_uid,
        hidden=view.unlisted,
        added_rules=view.added_rules,
        displayed=view.displayed,
    )


def clean_message(
    message: str,
    *,
    uid: str,
    physical_uid: str,
    hidden: Collection[str],
    added_rules: int = 1,
    displayed: Collection[str] | None = None,
    shifted: int | None = None,
) -> str:
    """The same for an error's text alone, as tasks carry it."""
    for quote in "`\"'":
        message = message.replace(f"{quote}{physical_uid}{quote}", f"{quote}{uid}{quote}")
    message = _RULE_NUMBER.sub(lambda match: f"{match[1]}{_lowered(match[2], added_rules)}", message)
    before = added_rules if shifted is None else shifted
    message = _RULE_INDEX.sub(lambda match: f"{match[1]}{_lowered(match[2], before)}{match[3]}", message)
    message = strip_text(message, hidden)
    # A search's texts name only what may be displayed, those of the documents routes everything; the former are told
    # by the index name in front, which the facet search alone leaves out.
    of_search = "Index `" in message or "is not facet-searchable" in message
    names = displayed if of_search else None
    return _LISTING.sub(lambda match: _listing(match, names), message)


def _lowered(number: str, by: int) -> int:
    # A number below ours is none of the client's rules; it stays what a client can make most of.
    return max(int(number) - by, 0)


def _listing(match: re.Match[str], displayed: Collection[str] | None) -> str:
    """A list without our fields and without what is not displayed; the words of a node where nothing is left."""
    kind = match["kind"]
    names = [name for name in match["listed"].split(", ") if name not in STAMP_FIELDS and name != _HIDDEN]
    seen = names if displayed is None else [name for name in names if name in displayed]
    some_hidden = len(seen) < len(names)
    searchable = kind == "searchable attributes"
    if not seen and not (searchable and some_hidden):
        return f"This index does not have configured {kind.removesuffix(' patterns')}."
    listed = ", ".join(seen) + (f", {_HIDDEN}" if some_hidden else "")
    return f"Available {kind} are: `{listed}`."
