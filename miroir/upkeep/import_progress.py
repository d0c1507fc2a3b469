"""How far an import has come: what its job keeps, and what operators see of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal, Self

from miroir.store import JobRow
from miroir.upkeep.dump_documents import Place

IMPORT: Final = "dump_import"
"""The type of the jobs that are imports."""

IfExists = Literal["fail", "merge"]
"""What to do with a dump's index that is here already: refuse the dump, or put settings and documents on top."""

Phase = Literal["queued", "reading", "settings", "documents", "tasks", "done"]

_REMARKS_AT_MOST: Final = 100


@dataclass(slots=True)
class Progress:
    """Everything a process must know to go on where another stopped, and some that only people want to know."""

    phase: Phase = "queued"
    begun: bool = False
    """Whether something was changed already."""
    version: int | None = None
    unpacked_bytes: int = 0
    document_bytes: int = 0
    document_bytes_done: int = 0
    documents: dict[str, int] = field(default_factory=dict)
    file: int = 0
    offset: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    waiting_tasks: int = 0
    waiting_tasks_done: int = 0
    remarks: list[str] = field(default_factory=list)
    waiting_for: str | None = None

    @classmethod
    def of(cls, job: JobRow) -> Self:
        """What the job keeps. Members of another version of Miroir are passed over."""
        known = {member.name for member in fields(cls)}
        return cls(**{name: value for name, value in job.progress.items() if name in known})

    def kept(self) -> dict[str, Any]:
        """As the job keeps it."""
        return asdict(self)

    @property
    def place(self) -> Place:
        """Behind the last batch of documents of which nothing before it is open."""
        return Place(self.file, self.offset)

    def remark(self, text: str) -> None:
        """Tell whoever imports; once, and not without end."""
        if text not in self.remarks and len(self.remarks) < _REMARKS_AT_MOST:
            self.remarks.append(text)


def import_view(job: JobRow) -> dict[str, Any]:
    """An import as operators see it."""
    progress = Progress.of(job)
    total, done = progress.document_bytes, progress.document_bytes_done
    whole = job.state == "completed" or (progress.phase in ("tasks", "done") and not total)
    view: dict[str, Any] = {
        "id": job.id,
        "state": job.state,
        "phase": progress.phase,
        "file_bytes": job.params.get("size", 0),
        "dump_version": progress.version,
        "if_exists": job.params.get("if_exists", "fail"),
        "pct_complete": 100.0 if whole else round(100.0 * done / total, 1) if total else 0.0,
        "document_bytes": total,
        "document_bytes_done": done,
        "documents": sum(progress.documents.values()),
        "indexes": _shown(progress.documents),
        "keys": _shown(progress.keys),
        "waiting_tasks": progress.waiting_tasks,
        "waiting_tasks_done": progress.waiting_tasks_done,
        "remarks": progress.remarks,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
    }
    if progress.waiting_for is not None and job.state == "in_progress":
        view["waiting_for"] = progress.waiting_for
    if job.error is not None:
        view["error"] = dict(job.error)
    return view


def _shown(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))
