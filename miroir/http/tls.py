"""The server's side of TLS: a context from two PEM files, or a sentence that says what is wrong with them."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

HTTP_1: Final = ("http/1.1",)
HTTP_2: Final = ("h2", "http/1.1")
# What RFC 9113 leaves of TLS 1.2; TLS 1.3 has no bad ones.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class BadCertificate(Exception):
    """The certificate or its key cannot be used; the message says which and why."""


def server_tls(certificate: Path, key: Path, *, protocols: Sequence[str] = HTTP_1) -> ssl.SSLContext:
    """A context that offers `protocols` (ALPN), TLS 1.2 and newer. Raises `BadCertificate`."""
    for what, file in (("certificate", certificate), ("key", key)):
        try:
            text = file.read_bytes()
        except OSError as exc:
            raise BadCertificate(f"The TLS {what} {file} cannot be read: {exc.strerror}.") from None
        if b"-----BEGIN " not in text:
            raise BadCertificate(f"The TLS {what} {file} is not a PEM file.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(list(protocols))
    try:
        # Without a password OpenSSL would ask for one on the terminal, and wait.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as exc:
        raise BadCertificate(
            f"The TLS certificate {certificate} and the key {key} cannot be used together ({exc.reason or exc}): "
            "either must be PEM, the key without a passphrase and the one of the certificate."
        ) from None
    return context
