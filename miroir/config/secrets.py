"""Secrets: read once from the environment, never part of the configuration, never shown."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from miroir.config.model import Config
from miroir.config.problems import ConfigError, Problem

MASTER_KEY: Final = "MIROIR_MASTER_KEY"
NODE_MASTER_KEY: Final = "MIROIR_NODE_MASTER_KEY"
ADMIN_API_KEY: Final = "MIROIR_ADMIN_API_KEY"
SESSION_SEAL_KEY: Final = "ADMIN_SESSION_SEAL_KEY"
REDIS_PASSWORD: Final = "MIROIR_REDIS_PASSWORD"  # noqa: S105 - a name, not a password

_LABEL: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_DEFAULT_LABEL: Final = "admin"
_SEAL_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """Every secret of the process; `None` where a variable is unset or empty.

    `master_key` opens the data plane to clients, `node_master_key` opens the nodes to us (the master key where no
    other is named), `admin_keys` are pairs of label and key that open `/_miroir`.
    """

    master_key: str | None = None
    node_master_key: str | None = None
    admin_keys: tuple[tuple[str, str], ...] = ()
    session_seal_key: bytes | None = None
    jwt_secret: str | None = None
    jwt_secret_previous: str | None = None
    search_ui_shared_key: str | None = None
    redis_password: str | None = None
    present: Mapping[str, bool] = field(default_factory=dict)
    """The variables looked at, and whether each was set."""

    def __repr__(self) -> str:
        known = ", ".join(f"{name}={'set' if there else 'unset'}" for name, there in self.present.items())
        return f"Secrets({known})"


def secret_names(config: Config) -> tuple[str, ...]:
    """The environment variables that hold secrets; two of the names are knobs."""
    auth = config.search_ui.auth
    shared = (auth.shared_key_env,) if auth.shared_key_env else ()
    jwt = (auth.jwt_secret_env, f"{auth.jwt_secret_env}_PREVIOUS")
    return (MASTER_KEY, NODE_MASTER_KEY, ADMIN_API_KEY, SESSION_SEAL_KEY, *jwt, *shared, REDIS_PASSWORD)


def load_secrets(config: Config, *, environ: Mapping[str, str]) -> Secrets:
    """Read the secrets that `config` needs. Raises `ConfigError` without ever naming a value."""
    problems: list[Problem] = []
    auth = config.search_ui.auth
    previous = f"{auth.jwt_secret_env}_PREVIOUS"
    found = {name: environ.get(name) or None for name in secret_names(config)}

    for name in (MASTER_KEY, NODE_MASTER_KEY, auth.shared_key_env):
        value = found.get(name)
        if value is not None and not _fits_a_header(value):
            problems.append(_not_a_key(name))
    admin_keys, wrong = parse_admin_keys(found[ADMIN_API_KEY] or "")
    problems += wrong
    if found[MASTER_KEY] is not None and any(key == found[MASTER_KEY] for _, key in admin_keys):
        problems.append(
            Problem(
                ADMIN_API_KEY,
                f"holds the same key as {MASTER_KEY}",
                "make them different: the one must not open what the other guards",
            )
        )
    if config.search_ui.enabled:
        if found[auth.jwt_secret_env] is None:
            problems.append(
                Problem(
                    auth.jwt_secret_env, "is not set, and the search interface is on", "set it to a long random text"
                )
            )
        if auth.mode == "shared_key" and auth.shared_key_env and found[auth.shared_key_env] is None:
            problems.append(
                Problem(auth.shared_key_env, "is not set, and `search_ui.auth.mode` is `shared_key`", "set it")
            )
    seal_key = _seal_key(found[SESSION_SEAL_KEY], problems)
    if problems:
        raise ConfigError(problems)
    return Secrets(
        master_key=found[MASTER_KEY],
        node_master_key=found[NODE_MASTER_KEY] or found[MASTER_KEY],
        admin_keys=admin_keys,
        session_seal_key=seal_key,
        jwt_secret=found[auth.jwt_secret_env],
        jwt_secret_previous=found[previous],
        search_ui_shared_key=found.get(auth.shared_key_env),
        redis_password=found[REDIS_PASSWORD],
        present={name: value is not None for name, value in found.items()},
    )


def parse_admin_keys(text: str) -> tuple[tuple[tuple[str, str], ...], list[Problem]]:
    """`label:key,label:key`, or one key alone, as pairs of label and key; and what is wrong with the rest."""
    problems: list[Problem] = []
    if not text:
        return (), problems
    pairs: list[tuple[str, str]] = []
    for position, entry in enumerate(text.split(","), start=1):
        label, colon, key = entry.strip(" ").partition(":")
        if not colon:
            label, key = _DEFAULT_LABEL, label
        if not _LABEL.fullmatch(label):
            problems.append(
                Problem(ADMIN_API_KEY, f"entry {position} has no proper label", "write `label:key,label:key`")
            )
        elif not key:
            problems.append(Problem(ADMIN_API_KEY, f"entry {position} has no key", "write `label:key,label:key`"))
        elif not _fits_a_header(key):
            problems.append(_not_a_key(ADMIN_API_KEY, f"entry {position}: "))
        else:
            pairs.append((label, key))
    for what, values in (("label", [label for label, _ in pairs]), ("key", [key for _, key in pairs])):
        if len(set(values)) < len(values):
            problems.append(
                Problem(ADMIN_API_KEY, f"a {what} is there twice", f"give each person a {what} of their own")
            )
    return tuple(pairs), problems


def _seal_key(text: str | None, problems: list[Problem]) -> bytes | None:
    if text is None:
        return None
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _SEAL_KEY_BYTES:
        problems.append(
            Problem(
                SESSION_SEAL_KEY,
                f"is not base64 of at least {_SEAL_KEY_BYTES} bytes",
                "make one with `head -c 32 /dev/urandom | base64`",
            )
        )
    return key


def _fits_a_header(value: str) -> bool:
    return all("!" <= character <= "~" for character in value)


def _not_a_key(name: str, prefix: str = "") -> Problem:
    return Problem(
        name,
        f"{prefix}cannot be sent in a header: it has a space, a line break or a character outside ASCII",
        "write visible ASCII only; `printf` instead of `echo` leaves no line break at the end",
    )
