"""Ingest: from a client's payload to an acknowledged write."""

from miroir.ingest.content import Format, check_content_type, check_delimiter, check_json_content_type
from miroir.ingest.deletion import delete_all, delete_by_filter
from miroir.ingest.document_id import read_ids
from miroir.ingest.edition import edit_documents, edition_text
from miroir.ingest.encoding import decompress
from miroir.ingest.inequalities import Inequalities
from miroir.ingest.outcomes import Changes
from miroir.ingest.selection import is_filter
from miroir.ingest.service import DocumentWriter, Method, Upload, other_key
from miroir.ingest.unjudged import Unjudged, is_too_deep

__all__ = [
    "Changes",
    "DocumentWriter",
    "Format",
    "Inequalities",
    "Method",
    "Unjudged",
    "Upload",
    "check_content_type",
    "check_delimiter",
    "check_json_content_type",
    "decompress",
    "delete_all",
    "delete_by_filter",
    "edit_documents",
    "edition_text",
    "is_filter",
    "is_too_deep",
    "other_key",
    "read_ids",
]
