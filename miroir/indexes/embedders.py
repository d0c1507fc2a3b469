"""Embedders: how changes to them add up, what a node shows of them, what we ask of a node.

The one setting whose members merge by name, and theirs again by parameter, with consequences: a parameter that only
*seems* to change makes a node embed every document anew, for money. So a parameter is reset (null) only on a node that
is known to have it, and never sent just in case.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

from miroir.indexes.defaults import DOCUMENT_TEMPLATE, DOCUMENT_TEMPLATE_MAX_BYTES
from miroir.stamps import STAMP_FIELDS

PARAMETERS: Final = (
    "source",
    "model",
    "revision",
    "pooling",
    "apiKey",
    "dimensions",
    "binaryQuantized",
    "documentTemplate",
    "documentTemplateMaxBytes",
    "url",
    "indexingFragments",
    "searchFragments",
    "request",
    "response",
    "headers",
    "searchEmbedder",
    "indexingEmbedder",
    "distribution",
)
"""Every parameter, in the order in which a node shows them."""

_FRAGMENTS: Final = ("indexingFragments", "searchFragments")
_NESTED: Final = ("searchEmbedder", "indexingEmbedder")

# What a change of source leaves standing; everything else starts again from the new source's defaults.
_OUTLIVES_SOURCE: Final = frozenset({"apiKey", "distribution", "binaryQuantized"})
_TEMPLATES: Final = ("documentTemplate", "documentTemplateMaxBytes")
_TEMPLATED: Final = frozenset({"openAi", "huggingFace", "ollama", "rest"})

_FIRST_SOURCE: Final = "openAi"
# A node takes `source: null` on an embedder it has already for this, not for the default of a new one.
_RESET_SOURCE: Final = "huggingFace"

_OPENAI_MODEL: Final = "text-embedding-3-small"
_HUGGING_FACE_MODEL: Final = "BAAI/bge-base-en-v1.5"
_HUGGING_FACE_REVISION: Final = "617ca489d9e86b49b8167676d8220688b99db36e"

# Where a parameter may be named at all; a node refuses even its reset elsewhere. Those not listed: every source.
_SOURCES: Final[Mapping[str, frozenset[str]]] = {
    "model": frozenset({"openAi", "huggingFace", "ollama"}),
    "revision": frozenset({"huggingFace"}),
    "pooling": frozenset({"huggingFace"}),
    "apiKey": frozenset({"openAi", "ollama", "rest"}),
    "dimensions": frozenset({"openAi", "ollama", "rest"}),
    "documentTemplate": _TEMPLATED,
    "documentTemplateMaxBytes": _TEMPLATED,
    "url": frozenset({"openAi", "ollama"}),
    "indexingFragments": frozenset({"rest"}),
    "searchFragments": frozenset({"rest"}),
    "headers": frozenset({"rest"}),
}
_NEVER_RESET: Final = frozenset({"source", "request", "response", *_NESTED})

_not_ours: Final = " and ".join(f'field.name != "{name}"' for name in STAMP_FIELDS)
NODE_TEMPLATE: Final = DOCUMENT_TEMPLATE.replace("field.value != nil", f"field.value != nil and {_not_ours}")
"""The default template without our fields: they are searchable to it, so every vector would hold a bit of stamp."""


def merge_embedders(wish: object, change: object) -> object:
    """Embedders after a change; None in place of one: taken away, which nodes that missed it must still be told.

    A change that is null takes all away. What is no embedder to a node is kept as it came, for a node to refuse.
    """
    merged: dict[str, Any] = dict(wish) if isinstance(wish, Mapping) else {}
    if change is None:
        return dict.fromkeys(merged)
    if not isinstance(change, Mapping):
        return change
    for name, parameters in change.items():
        merged[name] = _merge(merged.get(name), parameters) if isinstance(parameters, Mapping) else parameters
    return dict(sorted(merged.items()))


def _merge(old: object, change: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = dict(old) if isinstance(old, Mapping) else {}
    before = dict(merged)
    if not merged:
        merged["source"] = change.get("source") or _FIRST_SOURCE
    elif "source" in change:
        source = change["source"] or _RESET_SOURCE
        if source != merged.get("source"):
            kept = _OUTLIVES_SOURCE | (frozenset(_TEMPLATES) if source in _TEMPLATED else frozenset())
            merged = {name: value for name, value in merged.items() if name in kept}
            merged["source"] = source
    parameters = dict(change)
    if change.get("documentTemplate") is None and ("documentTemplate" in change or not _has_template(before)):
        # The length belongs to a template: a node that has none written down takes the default of both.
        parameters["documentTemplateMaxBytes"] = None
    for name, given in parameters.items():
        if name == "source":
            continue
        value = _merge_parameter(name, merged.get(name), given)
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    return {name: merged[name] for name in PARAMETERS if name in merged} | merged


def _has_template(embedder: Mapping[str, Any]) -> bool:
    """Whether a node has a template for it written down, if only the default one."""
    return embedder.get("source") in _TEMPLATED and not any(embedder.get(name) for name in _FRAGMENTS)


def _merge_parameter(name: str, old: object, new: object) -> object:
    if not isinstance(new, Mapping):
        return new
    if name == "distribution":
        return {part: _single_precision(value) for part, value in sorted(new.items())}
    if name == "headers":
        return dict(sorted(new.items()))
    if name in _FRAGMENTS:
        merged = {**old, **new} if isinstance(old, Mapping) else dict(new)
        return {key: value for key, value in sorted(merged.items()) if value is not None}
    if name == "indexingEmbedder":
        return _merge(old, new)
    if name == "searchEmbedder":
        # Replaced whole: changing it re-embeds nothing, so a node takes no care to merge it.
        return _merge(None, new)
    return new


def shown_embedders(wish: object, *, on_node: bool = False) -> dict[str, Any]:
    """Embedders as a node shows them: defaults of their source filled in, secrets cut short, those taken away absent.

    `on_node`: after `node_embedders`, with our document template, instead of what the client is to see.
    """
    embedders = wish if isinstance(wish, Mapping) else {}
    return {
        name: _shown(parameters, on_node=on_node, nested=None)
        for name, parameters in sorted(embedders.items())
        if isinstance(parameters, Mapping)
    }


def _shown(parameters: Mapping[str, Any], *, on_node: bool, nested: str | None) -> dict[str, Any]:
    shown = dict(parameters)
    source = shown.get("source")
    if source == "openAi":
        shown.setdefault("model", _OPENAI_MODEL)
    elif source == "huggingFace":
        if "model" not in shown:
            shown["model"] = _HUGGING_FACE_MODEL
            shown.setdefault("revision", _HUGGING_FACE_REVISION)
        shown.setdefault("pooling", "useModel")
    elif source == "rest":
        shown.setdefault("headers", {})
    if nested != "searchEmbedder" and _has_template(shown):
        shown.setdefault("documentTemplate", DOCUMENT_TEMPLATE)
        if on_node:
            shown["documentTemplate"] = node_template(shown["documentTemplate"])
        shown.setdefault("documentTemplateMaxBytes", DOCUMENT_TEMPLATE_MAX_BYTES)
    else:
        for name in _TEMPLATES:
            shown.pop(name, None)
    if nested is None and isinstance(shown.get("apiKey"), str):  # a node shows those of a composite's parts whole
        shown["apiKey"] = redact(shown["apiKey"])
    for name in _NESTED:
        if isinstance(shown.get(name), Mapping):
            shown[name] = _shown(shown[name], on_node=on_node, nested=name)
    return {name: shown[name] for name in PARAMETERS if name in shown}


def redact(secret: str) -> str:
    """An API key as a node shows it: the longer, the more of its beginning; lengths in bytes."""
    raw = secret.encode("utf-8", "surrogatepass")
    for below, kept, mask in ((10, 0, "XXX..."), (20, 2, "XXXX..."), (30, 3, "XXXXX...")):
        if len(raw) < below:
            return raw[:kept].decode("utf-8", "ignore") + mask
    return raw[:5].decode("utf-8", "ignore") + "XXXXXX..."


def node_embedders(wish: object, node: object) -> dict[str, Any]:
    """The embedders of a PATCH that makes a node's those of `wish`; `node`: what it shows now, if that is known.

    Without `node` nothing but what the wish says is sent, for a new index or one that has seen every change.
    """
    embedders = wish if isinstance(wish, Mapping) else {}
    present = node if isinstance(node, Mapping) else {}
    patch: dict[str, Any] = {name: None for name in present if embedders.get(name) is None}
    for name, parameters in embedders.items():
        if isinstance(parameters, Mapping):
            patch[name] = _for_node(parameters, present.get(name), nested=None)
        else:
            patch[name] = parameters
    return dict(sorted(patch.items()))


def _for_node(parameters: Mapping[str, Any], present: object, *, nested: str | None) -> dict[str, Any]:
    patch: dict[str, Any] = dict(parameters)
    source = patch.get("source")
    here: Mapping[str, Any] = present if isinstance(present, Mapping) else {}
    if nested != "searchEmbedder" and _has_template(patch):
        patch["documentTemplate"] = node_template(patch.get("documentTemplate"))
    if nested != "searchEmbedder":
        shown = _shown(parameters, on_node=True, nested=nested)
        for name in here:
            if name not in PARAMETERS or name in _NEVER_RESET or name in patch or here[name] == shown.get(name):
                continue
            if source in _SOURCES.get(name, frozenset({source})):
                patch[name] = None
        for name in _FRAGMENTS:
            if isinstance(here.get(name), Mapping) and isinstance(patch.get(name), Mapping):
                patch[name] = {**dict.fromkeys(here[name]), **patch[name]}
    for name in _NESTED:
        if isinstance(patch.get(name), Mapping):
            patch[name] = _for_node(patch[name], here.get(name), nested=name)
    return patch


def node_template(template: object) -> object:
    """The document template for a node in place of the client's: the default one must not see our fields."""
    return NODE_TEMPLATE if template in (None, DOCUMENT_TEMPLATE) else template


def _single_precision(value: object) -> object:
    """A number as a node gives it back from 32 bits: the shortest decimal that means the same there."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    stored = _packed(value)
    spellings = (float(f"{value:.{digits}g}") for digits in range(1, 10)) if stored else ()
    return next((spelling for spelling in spellings if _packed(spelling) == stored), value)


def _packed(value: float) -> bytes | None:
    try:
        return struct.pack("<f", value)
    except (OverflowError, struct.error):
        return None
