"""What a start has to say of a configuration: why it cannot serve it, and what it warns of.

`miroir serve` and `miroir config check` say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from miroir.config.model import Config
from miroir.config.secrets import ADMIN_API_KEY, MASTER_KEY, Secrets
from miroir.config.unbuilt import set_in_vain


@dataclass(frozen=True, slots=True)
class Caution:
    """Something that is allowed and hardly meant. `about` are its particulars, by name."""

    text: str
    about: Mapping[str, str | list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        told = "; ".join(
            f"{name} {value if isinstance(value, str) else ', '.join(value)}" for name, value in self.about.items()
        )
        return f"{self.text} ({told})" if told else self.text


def not_servable(config: Config) -> list[str]:
    """What the configuration lacks, or asks for, that `miroir serve` refuses it for, and what to do instead."""
    refused = []
    if not config.nodes:
        refused.append("No nodes are configured. Name at least one under `miroir.nodes` in the configuration file.")
    if config.task_store.backend != "sqlite":
        refused.append(f"task_store.backend: {config.task_store.backend} is not built yet; use sqlite.")
    if config.server.workers > 1:
        refused.append("server.workers above 1 is not built yet; use 1.")
    return refused


def cautions(config: Config, secrets: Secrets) -> list[Caution]:
    """What `miroir serve` serves all the same."""
    found = []
    if in_vain := set_in_vain(config):
        found.append(Caution("configured in vain: not built yet", {"keys": in_vain}))
    if secrets.master_key is None:
        found.append(Caution("no master key: the data plane stands open to everybody", {"set": MASTER_KEY}))
    if not secrets.admin_keys:
        found.append(Caution("no admin key: /_miroir stays shut", {"set": ADMIN_API_KEY}))
    return found
