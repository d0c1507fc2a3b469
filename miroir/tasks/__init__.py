"""Tasks: one namespace of integer uids over the tasks of all nodes."""

from miroir.tasks.clock import now_text
from miroir.tasks.details import COPIES_NOTE, DISTINCT_NOTE
from miroir.tasks.pruning import Pruner
from miroir.tasks.tracker import TaskTracker
from miroir.tasks.view import enqueued_view, task_view

__all__ = ["COPIES_NOTE", "DISTINCT_NOTE", "Pruner", "TaskTracker", "enqueued_view", "now_text", "task_view"]
