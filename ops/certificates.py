"""Certificates that a service shows (X.509, RFC 5280): read, checked, and renewed while it runs."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography import x509

from protocol.errors import CertificateRefused

RENEWED_EVERY_S = 5.0


def expires_at(certificate: Path) -> datetime:
    """When a certificate ends; raises CertificateRefused if it cannot be read."""
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise CertificateRefused(f"{certificate} is not a certificate ({error})") from error


class RenewingContext:
    """A server's TLS context that takes a renewed certificate without a restart: call
    :meth:`refresh` now and then."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._loaded: tuple[int, ...] = ()
        self.refresh()

    def refresh(self) -> bool:
        """Whether a newer certificate was taken.

        Raises:
            CertificateRefused: it does not fit its key, or cannot be read; the one before stays.
        """
        try:
            newest = tuple(path.stat().st_mtime_ns for path in self._files)
            if newest == self._loaded:
                return False
            # one that fails spoils its context
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*self._files)
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            raise CertificateRefused(
                f"{self._files[0]} and its key cannot be used ({error})"
            ) from error
        self._loaded = newest
        return True


def keep_renewing(context: RenewingContext, say: Callable[[str], None]) -> None:
    """Look for a renewed certificate in a thread until the process ends; ``say`` hears what
    happened, once for each."""

    def look() -> None:
        said = ""
        while True:
            time.sleep(RENEWED_EVERY_S)
            try:
                told = "took a renewed certificate" if context.refresh() else said
            except CertificateRefused as error:
                told = f"what was renewed cannot be used, the old stays: {error}"
            if told != said:
                say(told)
            said = "" if told == "took a renewed certificate" else told

    threading.Thread(target=look, name="certificates", daemon=True).start()
