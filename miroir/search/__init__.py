"""Searches and document reads over shards: plan, scatter, merge."""

from miroir.search.asking import Found
from miroir.search.documents import DocumentReader, Listed
from miroir.search.federated import (
    FederatedQuery,
    Federation,
    read_federation,
    read_queries,
    readable_part,
    remote_refused,
)
from miroir.search.federated_parts import said_inside
from miroir.search.federation import FederatedSearch
from miroir.search.known_attributes import KnownAttributes
from miroir.search.multi_search import Bounds, side_by_side
from miroir.search.planner import Planner
from miroir.search.scatter import Gathered, NodeRefused, Request, Scatter
from miroir.search.service import SearchService
from miroir.search.similar import SimilarDocuments
from miroir.search.vectors import VectorKnobs, VectorSearch

__all__ = [
    "Bounds",
    "DocumentReader",
    "FederatedQuery",
    "FederatedSearch",
    "Federation",
    "Found",
    "Gathered",
    "KnownAttributes",
    "Listed",
    "NodeRefused",
    "Planner",
    "Request",
    "Scatter",
    "SearchService",
    "SimilarDocuments",
    "VectorKnobs",
    "VectorSearch",
    "read_federation",
    "read_queries",
    "readable_part",
    "remote_refused",
    "said_inside",
    "side_by_side",
]
