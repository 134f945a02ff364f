"""TLS 1.2 and 1.3 as the firmware's mbedTLS and browsers speak it, for both servers.

A renewed certificate is read again on SIGHUP and used for new connections.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from capture.exceptions import ServerCannotStart

logger = logging.getLogger(__name__)

# ECDHE with AES-GCM or ChaCha20, whichever key the certificate has; TLS 1.3 has its own list.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def files() -> tuple[Path, Path]:
    """(certificate chain, key) as first-run set-up left them: the recorder's own, the operator's,
    or one signed with the operator's (`system.pki`).

    Raises ServerCannotStart where one is missing.
    """
    certificate: Path = settings.PKI_DIR / "server.pem"
    key: Path = settings.PKI_DIR / "server.key"
    for path in (certificate, key):
        if not path.is_file():
            raise ServerCannotStart(f"{path} is missing; `manage.py prepare` makes it.")
    return certificate, key


def check(certificate: Path, key: Path) -> None:
    """Raises ServerCannotStart for a pair that does not belong together or cannot be read."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        text = f"{certificate} and {key} are no certificate and its key: {error}."
        raise ServerCannotStart(text) from error


def reload_or_say(reload: Callable[[], None]) -> None:
    """On SIGHUP. A renewal that went wrong is said; the certificate in use stays in use."""
    try:
        reload()
    except ServerCannotStart as error:
        logger.error("The old certificate stays in use: %s", error)  # noqa: TRY400  said in words
    else:
        logger.info("The certificate was read again.")


@implementer(IOpenSSLServerConnectionCreator)
class DaphneTls:
    """Makes Twisted's TLS connections."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self.reload()

    def reload(self) -> None:
        """Raises ServerCannotStart and keeps the old certificate when the new one is unusable."""
        check(*self._files)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(CIPHERS.encode())
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
        context.set_options(SSL.OP_NO_RENEGOTIATION)
        context.use_certificate_chain_file(str(self._files[0]))
        context.use_privatekey_file(str(self._files[1]))
        self._context = context

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:  # noqa: ARG002, N802
        return SSL.Connection(self._context, None)
