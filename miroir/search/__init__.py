"""Searches and document reads over shards: plan, scatter, merge."""

from miroir.search.documents import DocumentReader, Listed
from miroir.search.multi_search import Deadlines, side_by_side
from miroir.search.planner import Planner
from miroir.search.scatter import Scatter
from miroir.search.service import Found, SearchService
from miroir.search.similar import SimilarDocuments

__all__ = [
    "Deadlines",
    "DocumentReader",
    "Found",
    "Listed",
    "Planner",
    "Scatter",
    "SearchService",
    "SimilarDocuments",
    "side_by_side",
]
