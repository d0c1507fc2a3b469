"""Coordination: what keeps long-running work alive."""

from miroir.coordination.supervisor import Supervisor

__all__ = ["Supervisor"]
