"""The doors: the master key opens the data plane, an admin key the control plane, and neither the other."""

from __future__ import annotations

from itertools import product

import pytest

from miroir.errors import ApiError
from miroir.security import AdminDoor
from miroir.security.doors import DataDoor, bearer
from tests.unit.security.strangers import Nobody, no_keys

MASTER, ADMIN, SECOND = "the-master-key-0123", "the-admin-key-01234", "another-admin-key-0"
ADMINS = [("ada", ADMIN), ("bob", SECOND)]

CREDENTIALS: dict[str, bytes | None] = {
    "nothing": None,
    "empty": b"",
    "master": f"Bearer {MASTER}".encode(),
    "admin": f"Bearer {ADMIN}".encode(),
    "second": f"Bearer {SECOND}".encode(),
    "bare master": MASTER.encode(),
    "bare admin": ADMIN.encode(),
    "basic": f"Basic {MASTER}".encode(),
    "another case": f"bearer {MASTER}".encode(),
    "two spaces": f"Bearer  {MASTER}".encode(),
    "more behind": f"Bearer {MASTER} {MASTER}".encode(),
    "no key": b"Bearer",
    "blank key": b"Bearer ",
    "prefix": f"Bearer {MASTER[:-1]}".encode(),
    "longer": f"Bearer {MASTER}x".encode(),
    "not text": b"Bearer \xff\xfe",
}
HEADER_KEYS: dict[str, bytes | None] = {
    "no header": None,
    "master": MASTER.encode(),
    "admin": ADMIN.encode(),
    "second": SECOND.encode(),
    "empty": b"",
    "bearer": f"Bearer {ADMIN}".encode(),
}
MISSING = {"nothing", "empty", "bare master", "bare admin", "basic", "another case", "not text"}


def data_door(master: str | None) -> DataDoor:
    return DataDoor(master, no_keys(), Nobody())


async def opened(door: DataDoor, authorization: bytes | None) -> str:
    try:
        if door.admit(authorization, "stats.get", None) is None:
            await door.ask(authorization, "stats.get", None)
    except ApiError as error:
        return f"{error.status} {error.code} {error.type}"
    return "open"


@pytest.mark.parametrize("name", CREDENTIALS)
async def test_the_data_plane_opens_to_the_master_key_alone(name: str) -> None:
    expected = (
        "open"
        if name == "master"
        else "401 missing_authorization_header auth"
        if name in MISSING
        else "403 invalid_api_key auth"
    )
    assert await opened(data_door(MASTER), CREDENTIALS[name]) == expected


@pytest.mark.parametrize("name", CREDENTIALS)
@pytest.mark.parametrize("master", [None, ""])
async def test_without_a_master_key_the_data_plane_stands_open(name: str, master: str | None) -> None:
    """To any key and to none; a header that holds no key is as wrong as ever."""
    expected = "open"
    if name in MISSING - {"nothing"}:
        expected = "401 missing_authorization_header auth"
    elif name in {"no key", "blank key"}:
        expected = "403 invalid_api_key auth"
    assert await opened(data_door(master), CREDENTIALS[name]) == expected


@pytest.mark.parametrize("credential", [None, b"Bearer x"])
def test_without_a_master_key_there_are_no_keys(credential: bytes | None) -> None:
    with pytest.raises(ApiError) as refusal:
        data_door(None).admit(credential, "keys.get", None)
    assert (refusal.value.status, refusal.value.code) == (401, "missing_master_key")


@pytest.mark.parametrize(("name", "header"), list(product(CREDENTIALS, HEADER_KEYS)))
def test_the_control_plane_opens_to_admin_keys_alone(name: str, header: str) -> None:
    labels = {"admin": "ada", "second": "bob"}
    label = labels.get(name) if header == "no header" else labels.get(header)
    door = AdminDoor(ADMINS)
    if label is not None:
        assert door.admit(CREDENTIALS[name], HEADER_KEYS[header]) == label
        return
    with pytest.raises(ApiError) as caught:
        door.admit(CREDENTIALS[name], HEADER_KEYS[header])
    assert (caught.value.status, caught.value.code, caught.value.type) == (401, "miroir_invalid_auth", "auth")
    is_given = header != "no header" or (name not in MISSING and name != "nothing")
    assert caught.value.message.startswith("The admin key that was sent is not" if is_given else "Send an admin key")


@pytest.mark.parametrize(("name", "header"), list(product(CREDENTIALS, HEADER_KEYS)))
def test_without_admin_keys_the_control_plane_stays_shut_and_says_why(name: str, header: str) -> None:
    with pytest.raises(ApiError, match="MIROIR_ADMIN_API_KEY") as caught:
        AdminDoor([]).admit(CREDENTIALS[name], HEADER_KEYS[header])
    assert caught.value.status == 401


async def _admin(credential: bytes | None) -> object:
    return AdminDoor([("ada", "other")]).admit(credential, MASTER.encode())


@pytest.mark.parametrize("name", CREDENTIALS)
async def test_no_refusal_repeats_a_key(name: str) -> None:
    for admission in (data_door("other").ask(CREDENTIALS[name], "stats.get", None), _admin(CREDENTIALS[name])):
        with pytest.raises(ApiError) as caught:
            await admission
        assert not any(key in str(caught.value.body()) for key in (MASTER, ADMIN, SECOND, "other"))


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"Bearer abc", b"abc"),
        (b"bearer abc", None),
        (b"Bearer  abc", b" abc"),
        (b"Bearer abc def", b"abc def"),
        (b"Bearer", b""),
        (b"Bearerabc", None),
        (b"Basic abc", None),
        (b"Bearer caf\xc3\xa9", None),
        (None, None),
    ],
)
def test_the_key_in_a_header(header: bytes | None, key: bytes | None) -> None:
    assert bearer(header) == key
