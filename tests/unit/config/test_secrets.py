"""Secrets: where they come from, what is refused, and that they never show."""

from __future__ import annotations

import base64

import pytest

from miroir.config import Config, ConfigError, Secrets, load_secrets, parse_admin_keys, secret_names

SEARCH_UI = Config.model_validate(
    {"search_ui": {"enabled": True, "auth": {"mode": "shared_key", "shared_key_env": "SHOP_KEY"}}}
)


def refused(environ: dict[str, str], config: Config | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_secrets(config or Config(), environ=environ)
    for value in environ.values():
        assert value not in str(caught.value)
    return [problem.path for problem in caught.value.problems]


def test_nothing_set_is_nothing_known() -> None:
    assert load_secrets(Config(), environ={"MIROIR_MASTER_KEY": ""}).master_key is None


def test_the_nodes_get_the_master_key_unless_they_have_their_own() -> None:
    assert load_secrets(Config(), environ={"MIROIR_MASTER_KEY": "m"}).node_master_key == "m"
    both = load_secrets(Config(), environ={"MIROIR_MASTER_KEY": "m", "MIROIR_NODE_MASTER_KEY": "n"})
    assert (both.master_key, both.node_master_key) == ("m", "n")


def test_admin_keys_have_labels() -> None:
    assert load_secrets(Config(), environ={"MIROIR_ADMIN_API_KEY": "k1"}).admin_keys == (("admin", "k1"),)
    several = load_secrets(Config(), environ={"MIROIR_ADMIN_API_KEY": "ann:k1, bob:k:2"})
    assert several.admin_keys == (("ann", "k1"), ("bob", "k:2"))
    assert parse_admin_keys("") == ((), [])


@pytest.mark.parametrize("text", ["ann:secret9,ann:secret8", "ann:secret9,bob:secret9", "ann:", "a b:secret9", ",,,,,"])
def test_unclear_admin_keys_are_refused(text: str) -> None:
    assert set(refused({"MIROIR_ADMIN_API_KEY": text})) == {"MIROIR_ADMIN_API_KEY"}


def test_one_key_must_not_open_both_doors() -> None:
    assert refused({"MIROIR_MASTER_KEY": "s3cret-s3cret", "MIROIR_ADMIN_API_KEY": "ops:s3cret-s3cret"}) == [
        "MIROIR_ADMIN_API_KEY"
    ]


@pytest.mark.parametrize("key", ["hunter2 hunter2", "hunter2hunter2\n", "clé-clé-clé"])
def test_keys_that_no_header_can_carry_are_refused(key: str) -> None:
    assert refused({"MIROIR_MASTER_KEY": key, "MIROIR_NODE_MASTER_KEY": key}) == [
        "MIROIR_MASTER_KEY",
        "MIROIR_NODE_MASTER_KEY",
    ]


def test_the_seal_key_is_base64_of_32_bytes() -> None:
    key = bytes(range(32))
    environ = {"ADMIN_SESSION_SEAL_KEY": base64.b64encode(key).decode()}
    assert load_secrets(Config(), environ=environ).session_seal_key == key
    assert refused({"ADMIN_SESSION_SEAL_KEY": "hunter2hunter2!"}) == ["ADMIN_SESSION_SEAL_KEY"]
    assert refused({"ADMIN_SESSION_SEAL_KEY": "aHVudGVyMmh1bnRlcjI="}) == ["ADMIN_SESSION_SEAL_KEY"]


def test_the_search_interface_needs_its_secrets() -> None:
    assert refused({}, SEARCH_UI) == ["SEARCH_UI_JWT_SECRET", "SHOP_KEY"]
    environ = {"SEARCH_UI_JWT_SECRET": "j", "SEARCH_UI_JWT_SECRET_PREVIOUS": "i", "SHOP_KEY": "s"}
    secrets = load_secrets(SEARCH_UI, environ=environ)
    assert (secrets.jwt_secret, secrets.jwt_secret_previous, secrets.search_ui_shared_key) == ("j", "i", "s")
    assert {"SHOP_KEY", "SEARCH_UI_JWT_SECRET_PREVIOUS"} < set(secret_names(SEARCH_UI))


def test_secrets_do_not_show() -> None:
    secrets = load_secrets(
        Config(), environ={"MIROIR_MASTER_KEY": "hunter2", "MIROIR_REDIS_PASSWORD": "hunter2", "HOME": "/"}
    )
    assert isinstance(secrets, Secrets)
    for text in (repr(secrets), str(secrets), f"{secrets}"):
        assert "hunter2" not in text
        assert "MIROIR_MASTER_KEY=set" in text
        assert "MIROIR_ADMIN_API_KEY=unset" in text
