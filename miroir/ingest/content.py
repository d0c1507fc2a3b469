"""What a payload says it is: its media type, and the CSV delimiter that only one of them may have.

The rules and texts are those of a node (actix-web with the `mime` crate), suffixes and parameters included.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from miroir.errors import ApiError, node_error


class Format(Enum):
    """The formats documents come in; the value is the name a node's error texts use."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


_FORMATS: Final = {
    "application/json": Format.JSON,
    "application/x-ndjson": Format.NDJSON,
    "text/csv": Format.CSV,
}
_DOCUMENTS: Final = tuple(_FORMATS)
_JSON_ONLY: Final = ("application/json",)

_NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_MEDIA_TYPE: Final = re.compile(
    rf'(?P<type>{_NAME}+)/(?P<subtype>{_NAME}+)(?:; *{_NAME}+=(?:"[^"]*"|{_NAME}*))*;?', re.ASCII
)


def check_delimiter(delimiter: str) -> None:
    """Refuse what a node takes for no CSV delimiter; `ApiError` 400."""
    if len(delimiter) != 1:
        found = (
            "an empty string"
            if not delimiter
            else f"the following string of {len(delimiter)} characters: `{delimiter}`"
        )
        message = f"Invalid value in parameter `csvDelimiter`: expected a string of one character, but found {found}"
        raise node_error(400, "invalid_document_csv_delimiter", message)
    if not delimiter.isascii():
        message = f"csv delimiter must be an ascii character. Found: `{delimiter}`"
        raise node_error(400, "invalid_document_csv_delimiter", message)


def check_content_type(value: bytes | None, csv_delimiter: str | None = None) -> Format:
    """The format a `Content-Type` names; `ApiError` 415 as a node answers.

    `csv_delimiter` is the query parameter, None when it was not sent; it has passed `check_delimiter`.
    """
    if value is None:
        raise _missing(_DOCUMENTS)
    name, _ = _essence(value)
    found = _FORMATS.get(name)
    if found is None:
        raise _invalid(name, _DOCUMENTS)
    if csv_delimiter is not None and found is not Format.CSV:
        message = (
            f"The Content-Type `{name}` does not support the use of a csv delimiter. "
            "The csv delimiter can only be used with the Content-Type `text/csv`."
        )
        raise node_error(415, "invalid_content_type", message)
    return found


def check_json_content_type(value: bytes | None) -> None:
    """What every route that takes one JSON value asks of a `Content-Type`; `ApiError` 415 as a node answers."""
    if value is None:
        raise _missing(_JSON_ONLY)
    name, suffix = _essence(value)
    if name.rpartition("/")[2] != "json" and suffix != "json":
        raise _invalid(_shown(value), _JSON_ONLY)


def _essence(value: bytes) -> tuple[str, str]:
    """Type and subtype in small letters, and the suffix behind `+`; what is no media type comes back as it is."""
    text = _shown(value)
    match = _MEDIA_TYPE.fullmatch(text)
    if match is None:
        return text, ""
    subtype = match["subtype"].lower()
    plus = subtype.rfind("+")
    if plus > 0:
        return f"{match['type'].lower()}/{subtype[:plus]}", subtype[plus + 1 :]
    return f"{match['type'].lower()}/{subtype}", ""


def _shown(value: bytes) -> str:
    return value.strip(b" \t").decode("utf-8", "replace")


def _missing(accepted: tuple[str, ...]) -> ApiError:
    return node_error(415, "missing_content_type", f"A Content-Type header is missing. {_accepted(accepted)}")


def _invalid(name: str, accepted: tuple[str, ...]) -> ApiError:
    return node_error(415, "invalid_content_type", f"The Content-Type `{name}` is invalid. {_accepted(accepted)}")


def _accepted(accepted: tuple[str, ...]) -> str:
    listed = ", ".join(f"`{name}`" for name in accepted)
    return f"Accepted values for the Content-Type header are: {listed}"
