"""Ingest: from a client's payload to an acknowledged write."""

from miroir.ingest.content import check_content_type, check_json_content_type
from miroir.ingest.document_id import read_ids
from miroir.ingest.service import DocumentWriter, Method, Upload
from miroir.ingest.unjudged import Unjudged

__all__ = [
    "DocumentWriter",
    "Method",
    "Unjudged",
    "Upload",
    "check_content_type",
    "check_json_content_type",
    "read_ids",
]
