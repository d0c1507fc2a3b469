"""What no client may ask of the settings: to make stamps into words, or to meddle with our fields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from miroir.errors import miroir_error
from miroir.indexes.settings_rules import patterns_of
from miroir.stamps import RESERVED_FIELDS, UPDATED_FIELD, is_silent

_TOKEN_SETTINGS: Final = ("nonSeparatorTokens", "dictionary")
_FIELD_LISTS: Final = ("displayedAttributes", "searchableAttributes", "sortableAttributes", "filterableAttributes")


def check_reserved(change: object, *, anti_entropy: bool = True) -> None:
    """Refuse a settings change that a node would take but an index of ours cannot stand.

    `ApiError` 400 `miroir_reserved_token`: `nonSeparatorTokens` or `dictionary` has a letter of the stamps' alphabet,
    which would make stamps searchable. 400 `miroir_reserved_field`: a setting names one of our fields
    (`_miroir_updated_at` is the client's own without anti-entropy). Patterns that merely cover them do no harm: our
    rule comes first. Whatever else may be wrong is for a node to say.
    """
    if not isinstance(change, Mapping):
        return
    for setting in _TOKEN_SETTINGS:
        for token in _texts(change.get(setting)):
            if is_silent(token):
                raise miroir_error(
                    "miroir_reserved_token",
                    f"Invalid value at `.{setting}`: `{token}` contains a character that Miroir needs as a separator.",
                )
    reserved = set(RESERVED_FIELDS) - (set() if anti_entropy else {UPDATED_FIELD})
    for path, name in _named_fields(change):
        if name in reserved or name.split(".", 1)[0] in reserved:
            raise miroir_error(
                "miroir_reserved_field", f"Invalid value at `.{path}`: the field `{name}` is reserved for Miroir."
            )


def _named_fields(change: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Every attribute that a change names, with the setting that names it."""
    for setting in _FIELD_LISTS:
        for member in _members(change.get(setting)):
            if isinstance(member, str | Mapping):
                yield from ((setting, pattern) for pattern in patterns_of(member))
    for text in _texts(change.get("rankingRules")):
        yield "rankingRules", text.rsplit(":", 1)[0]
    if isinstance(distinct := change.get("distinctAttribute"), str):
        yield "distinctAttribute", distinct
    for rule in _members(change.get("localizedAttributes")):
        if isinstance(rule, Mapping):
            yield from (("localizedAttributes", pattern) for pattern in patterns_of(rule))
    if isinstance(typos := change.get("typoTolerance"), Mapping):
        path = "typoTolerance.disableOnAttributes"
        yield from ((path, name) for name in _texts(typos.get("disableOnAttributes")))
    if isinstance(faceting := change.get("faceting"), Mapping):
        path = "faceting.sortFacetValuesBy"
        orders = faceting.get("sortFacetValuesBy")
        yield from ((path, name) for name in (orders if isinstance(orders, Mapping) else ()))


def _members(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else ()


def _texts(value: object) -> Iterator[str]:
    return (member for member in _members(value) if isinstance(member, str))
