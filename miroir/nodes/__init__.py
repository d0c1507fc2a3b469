"""Nodes: typed calls to one Meilisearch node."""

from miroir.nodes.answers import Accepted, NodeAnswerError, Outcome, Refused, Unconfirmed, Unknown, Unsent, error_of
from miroir.nodes.client import NodeCall, NodeClient, NodeTaskView, Observer
from miroir.nodes.identity import META_INDEX, Identity

__all__ = [
    "META_INDEX",
    "Accepted",
    "Identity",
    "NodeAnswerError",
    "NodeCall",
    "NodeClient",
    "NodeTaskView",
    "Observer",
    "Outcome",
    "Refused",
    "Unconfirmed",
    "Unknown",
    "Unsent",
    "error_of",
]
