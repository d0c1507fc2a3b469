"""What nodes say of a physical index, as something said of the index that clients know."""

from __future__ import annotations

from miroir.errors import ApiError, node_error
from miroir.indexes.registry import Index, Registry
from miroir.indexes.settings import clean_error_of, clean_message
from miroir.indexes.view import IndexView
from miroir.nodes import error_of
from miroir.store import TaskRow


def refusal_of(index: Index, status: int, body: bytes) -> ApiError:
    """A node's error about a physical index, as an error about the index that clients know."""
    return refusal_about(index.view, status, body)


def refusal_about(view: IndexView, status: int, body: bytes) -> ApiError:
    """The same about an index with the settings of `view`."""
    cleaned = clean_error_of(body, view)
    text = cleaned.decode(errors="replace") or "A node refused."
    return error_of(status, cleaned) or node_error(status, "internal", text, type="internal")


def client_text(registry: Registry, task: TaskRow, text: str) -> str:
    """A text a node wrote about a task, as a text about the index that clients know."""
    physical_uid = task.physical_uid or ""
    index = registry.behind(physical_uid)
    if index is None:
        return clean_message(text, uid=task.index_uid or "", physical_uid=physical_uid, hidden=())
    view = index.ahead
    return clean_message(
        text, uid=index.uid, physical_uid=physical_uid, hidden=view.unlisted, added_rules=view.added_rules
    )
