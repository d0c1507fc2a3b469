"""Tasks: one namespace of integer uids over the tasks of all nodes."""

from miroir.tasks.batches import batch_view
from miroir.tasks.cancelation import Canceler
from miroir.tasks.clock import now_text
from miroir.tasks.deletion import Deleter
from miroir.tasks.details import COPIES_NOTE, DISTINCT_NOTE, shown
from miroir.tasks.pruning import Pruner
from miroir.tasks.snapshots import Snapshots
from miroir.tasks.tracker import TaskTracker
from miroir.tasks.view import enqueued_view, task_view
from miroir.tasks.webhooks import Webhooks, webhook_view

__all__ = [
    "COPIES_NOTE",
    "DISTINCT_NOTE",
    "Canceler",
    "Deleter",
    "Pruner",
    "Snapshots",
    "TaskTracker",
    "Webhooks",
    "batch_view",
    "enqueued_view",
    "now_text",
    "shown",
    "task_view",
    "webhook_view",
]
