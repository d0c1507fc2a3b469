"""Which attributes a search may name: the refusals a node gives for those that the client never made filterable.

Nodes carry rules of ours (`miroir.indexes.filterable`), so a node would accept a filter, facet or distinct on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from miroir.errors import ApiError, node_error
from miroir.indexes.filterable import HIDDEN, available, client_rule, injected_filter, is_injected
from miroir.indexes.view import IndexView
from miroir.stamps import STAMP_FIELDS


def _distinct_refusal(name: str, index: IndexView) -> ApiError:
    rule = client_rule(name, index)
    if rule is None:
        why = available(index, ", ", "attributes", only_displayed=True)
    else:
        why = (
            f"Note: this attribute matches rule #{rule[0]} in filterableAttributes, but this rule does not enable "
            f"filtering.\nHint: enable filtering in rule #{rule[0]} by adding appropriate filter features.\n"
            f"Hint: prepend another rule matching {name} with filter features before rule #{rule[0]}"
        )
    return node_error(
        400,
        "invalid_search_distinct",
        f"Index `{index.uid}`: Attribute `{name}` is not filterable and thus, cannot be used as distinct attribute. "
        f"{why}",
    )


def _facets_refusal(name: str, index: IndexView) -> ApiError:
    rule = client_rule(name, index)
    if rule is None:
        why = f"is not filterable. {available(index, ', ', 'attributes')}"
    else:
        why = (
            f"matched rule #{rule[0]} in filterableAttributes, but this rule does not enable filtering.\n"
            f"Hint: enable filtering in rule #{rule[0]} by modifying the features.filter object\n"
            f"Hint: prepend another rule matching `{name}` with appropriate filter features before rule #{rule[0]}"
        )
    return node_error(400, "invalid_search_facets", f"Invalid facet distribution: Attribute `{name}` {why}")


def refuse_injected(body: Mapping[str, Any], index: IndexView) -> None:
    """Raise the `ApiError` of a node for a filter, distinct, facet or sort on an attribute that only we put there."""
    problem = injected_filter(body.get("filter"), index)
    if problem is not None:
        raise node_error(400, "invalid_search_filter", f"Index `{index.uid}`: {problem}")
    distinct = body.get("distinct")
    if isinstance(distinct, str) and is_injected(distinct, index):
        raise _distinct_refusal(distinct, index)
    facets = body.get("facets")
    if isinstance(facets, list) and "*" not in facets:
        for name in facets:
            if isinstance(name, str) and is_injected(name, index):
                raise _facets_refusal(name, index)
    sort = body.get("sort")
    if isinstance(sort, list):
        for rule in sort:
            name = rule.rpartition(":")[0] if isinstance(rule, str) else ""
            if name in STAMP_FIELDS:
                raise _sort_refusal(name, index)
            if name not in index.sortable:
                return  # a node stumbles over this one first, or knows it


def _sort_refusal(name: str, index: IndexView) -> ApiError:
    shown = [each for each in sorted(index.sortable) if index.displayed is None or each in index.displayed]
    if shown:
        hidden = [HIDDEN] if len(shown) < len(index.sortable) else []
        why = f"Available sortable attributes are: `{', '.join([*shown, *hidden])}`."
    else:
        why = "This index does not have configured sortable attributes."
    return node_error(400, "invalid_search_sort", f"Index `{index.uid}`: Attribute `{name}` is not sortable. {why}")
