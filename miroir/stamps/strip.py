"""Taking stamps out of what a node says: out of JSON objects as bytes, and out of error texts.

A stored document carries its stamps as neighbouring members of known shape, so a search over bytes finds them without
parsing anything else. A JSON text cannot hold an unescaped quote, so what matches is a member, never a value's inside.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from miroir.stamps.fields import STAMP_FIELDS

_NAMES: Final = "|".join(name.removeprefix("_miroir_") for name in STAMP_FIELDS)
# Any letter of the alphabet is U+2056-205E or U+2E00-2E2D: two lead bytes and a third. No client value of these fields
# is made of such letters, so an optional field that is the client's own (anti-entropy or expiry off) stays.
# The quote in front is none of a name's own (`"x\"_miroir_seq"`): such a one is escaped, and an opening one never is.
_MEMBER: Final = rb'(?<!\\)"_miroir_(?:%s)":"(?:\xe2[\x81\xb8][\x80-\xbf])+"' % _NAMES.encode()
_MEMBERS: Final = re.compile(rb"(?:%s,)+|(?:,%s)+(?=})|%s" % (_MEMBER, _MEMBER, _MEMBER))
_MARK: Final = b'"_miroir_'

_LIST: Final = re.compile(r"Available ([a-z-]+) attributes?(?: patterns)? are: (`[^\n]*?`)\.(?=\s|$)")


def strip(document: bytes) -> bytes:
    """A JSON object (document, hit, with `_formatted` or not) without our members; the other bytes as they are."""
    if _MARK not in document:
        return document
    return _MEMBERS.sub(b"", document)


def strip_text(text: str, hidden: Collection[str] = ()) -> str:
    """An error text without our fields, and without the `hidden` ones that only we made filterable.

    Nodes list what is filterable, sortable or facet-searchable; with nothing left to list they say so in other words.
    """

    def shorten(match: re.Match[str]) -> str:
        kind, listed = match.groups()
        each_quoted = "`, `" in listed
        names = [
            name
            for name in listed.strip("`").split("`, `" if each_quoted else ", ")
            if name not in STAMP_FIELDS and name not in hidden
        ]
        if not names:
            return f"This index does not have configured {kind} attributes."
        shown = ("`, `" if each_quoted or len(names) == 1 else ", ").join(names)
        return match.group(0).replace(listed, f"`{shown}`")

    return _LIST.sub(shorten, text)
