"""Where `miroir-ctl` finds the admin key: command line, environment, credentials file, in this order."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from miroir.config import parse_admin_keys

VARIABLE: Final = "MIROIR_ADMIN_API_KEY"
CREDENTIALS_FILE: Final = Path(".config/miroir/credentials")


class CredentialsError(Exception):
    """No key, or one that cannot be used. The text never holds a key."""


class NoCredentials(CredentialsError):
    """There is none anywhere."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An admin key, and where it was found."""

    admin_key: str = field(repr=False)
    source: str


def find_credentials(*, environ: Mapping[str, str], home: Path, option: str | None) -> Credentials:
    """The first key of the option, the environment, and the file below `home`; `NoCredentials` without any.

    What a user has typed counts, also when it cannot be used: another key than the one meant must not be sent instead.
    """
    if option is not None:
        return Credentials(_usable(option, "--admin-key"), "--admin-key")
    from_environment = environ.get(VARIABLE, "")
    if from_environment:
        # The server's own variable may name several people; any key opens the door.
        return Credentials(_usable(from_environment, VARIABLE), VARIABLE)
    file = home / CREDENTIALS_FILE
    from_file = _read(file)
    if from_file:
        return Credentials(_usable(from_file, str(file)), str(file))
    raise NoCredentials(
        f'no admin key: give --admin-key, or set {VARIABLE}, or write `admin_key = "..."` into ~/{CREDENTIALS_FILE}'
    )


def _usable(text: str, source: str) -> str:
    if not text:
        raise CredentialsError(f"the key from {source} is empty")
    pairs, problems = parse_admin_keys(text)
    if problems:
        raise CredentialsError(f"the key from {source} {problems[0].wrong}")
    return pairs[0][1]


def _read(file: Path) -> str | None:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(f"{file} cannot be read: {type(error).__name__}") from None
    try:
        key = tomllib.loads(text).get("admin_key")
    except tomllib.TOMLDecodeError:
        raise CredentialsError(f"{file} is not TOML") from None  # the parser's own text may repeat a piece of it
    if not isinstance(key, str) or not key:
        raise CredentialsError(f'{file} has no `admin_key = "..."`')
    return key
