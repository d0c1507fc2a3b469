"""Certificates that cannot be used are named, and nobody is asked for a passphrase."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from miroir.http import HTTP_2, BadCertificate, server_tls

Pair = tuple[Path, Path]


def made(folder: Path, name: str, *options: str) -> Pair:
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "1"]
    subprocess.run(
        [*request, "-subj", f"/CN={name}", "-out", certificate, "-keyout", key, *(options or ("-nodes",))],
        check=True,
        capture_output=True,
    )
    return certificate, key


def missing(folder: Path) -> Pair:
    return made(folder, "a")[0], folder / "nowhere.key"


def directory(folder: Path) -> Pair:
    return folder, made(folder, "a")[1]


def not_pem(folder: Path) -> Pair:
    certificate, key = made(folder, "a")
    certificate.write_bytes(b"\x30\x82")
    return certificate, key


def another_key(folder: Path) -> Pair:
    return made(folder, "a")[0], made(folder, "b")[1]


def broken(folder: Path) -> Pair:
    certificate, key = made(folder, "a")
    certificate.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    return certificate, key


def with_passphrase(folder: Path) -> Pair:
    return made(folder, "a", "-passout", "pass:secret")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (missing, r"key .*nowhere\.key cannot be read: No such file"),
        (directory, r"certificate .* cannot be read: Is a directory"),
        (not_pem, r"certificate .*a\.crt is not a PEM file"),
        (another_key, r"a\.crt and the key .*b\.key cannot be used together"),
        (broken, r"cannot be used together"),
        (with_passphrase, r"the key without a passphrase"),
    ],
)
def test_what_cannot_be_used_is_said(make: Callable[[Path], Pair], text: str, tmp_path: Path) -> None:
    with pytest.raises(BadCertificate, match=text):
        server_tls(*make(tmp_path))


def test_a_good_pair(tmp_path: Path) -> None:
    context = server_tls(*made(tmp_path, "a"), protocols=HTTP_2)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
