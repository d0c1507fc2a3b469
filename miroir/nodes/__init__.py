"""Nodes: typed calls to one Meilisearch node."""

from miroir.nodes.answers import Accepted, NodeAnswerError, Outcome, Refused, Unconfirmed, Unknown, Unsent, error_of
from miroir.nodes.client import NodeCall, NodeClient, NodeKey, NodeTaskView, Observer
from miroir.nodes.credentials import ask_as
from miroir.nodes.identity import META_INDEX, Identity

__all__ = [
    "META_INDEX",
    "Accepted",
    "Identity",
    "NodeAnswerError",
    "NodeCall",
    "NodeClient",
    "NodeKey",
    "NodeTaskView",
    "Observer",
    "Outcome",
    "Refused",
    "Unconfirmed",
    "Unknown",
    "Unsent",
    "ask_as",
    "error_of",
]
