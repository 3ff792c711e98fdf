"""Who is spoken to, and how the line is secured."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from diaphane.core.errors import MissingExtra, UsageError

_TITLE = re.compile(r"[ !-\[\]-~]{1,16}")
_FORM = re.compile(r"(?P<title>[^@]+)@(?P<host>\[[^\]]+\]|[^:@\[\]]+)(?::(?P<port>\d{1,5}))?")


def require_pynetdicom(feature: str) -> None:
    """Refuse without pynetdicom, and keep its loggers silent: they quote names and UIDs.

    Raises
    ------
    MissingExtra
        Naming the extra ``serve``.
    """
    try:
        import pynetdicom._config
    except ImportError as error:
        raise MissingExtra(feature, "pynetdicom", "serve") from error
    import logging

    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
    pynetdicom._config.LOG_HANDLER_LEVEL = "none"  # noqa: SLF001  # its own way to say it
    pynetdicom._config.STORE_SEND_CHUNKED_DATASET = True  # noqa: SLF001


def ae_title(text: str) -> str:
    r"""An application entity title: 1 to 16 printable characters but ``\`` (PS3.5 6.2, AE).

    Raises
    ------
    UsageError
        When it is none.
    """
    title = text.strip()
    if not title or not _TITLE.fullmatch(title):
        raise UsageError(
            f"'{text}' is not an AE title.", remedy="Use 1 to 16 plain characters, such as ARCHIVE."
        )
    return title


def as_word(peer: Peer | str) -> str:
    """A peer, or the host of an address, in the characters that the audit chain takes."""
    text = str(peer)
    text = urlsplit(text).netloc.rpartition("@")[2] if "://" in text else text
    return re.sub(r"[^A-Za-z0-9 ._:@+,-]", "_", text)


@dataclass(frozen=True)
class Peer:
    """An application entity: its title, host and port (``None``: not known)."""

    title: str
    host: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str, *, with_port: bool = True) -> Peer:
        """From ``AE@HOST:PORT``; an IPv6 host stands in brackets.

        Parameters
        ----------
        text:
            As a person types it.
        with_port:
            Whether the port must be there.

        Raises
        ------
        UsageError
            When it is not of that form.
        """
        found = _FORM.fullmatch(text.strip())
        port = int(found["port"]) if found and found["port"] else None
        if not found or (with_port and port is None) or (port is not None and not 0 < port < 65536):
            form = "AE@HOST:PORT" if with_port else "AE@HOST or AE@HOST:PORT"
            raise UsageError(f"'{text}' is not a peer.", remedy=f"Write it as {form}.")
        return cls(ae_title(found["title"]), found["host"].strip("[]"), port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.title}@{host}" + ("" if self.port is None else f":{self.port}")


@dataclass(frozen=True)
class Tls:
    """Certificates of a secured line (PS3.15 B.9, BCP 195: TLS 1.2 or newer, both sides checked).

    Attributes
    ----------
    certificate, key:
        Own certificate chain and its private key, PEM.
    authority:
        Certificates that the other side's must come from, PEM.
    check_name:
        Whether the server's certificate must name its host (client only).
    """

    certificate: Path
    key: Path
    authority: Path
    check_name: bool = True

    def context(self, *, server: bool) -> ssl.SSLContext:
        """The line's settings for the side that listens or for the side that calls.

        Raises
        ------
        UsageError
            When a file cannot be read or key and certificate do not fit.
        """
        side = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not server:
            context.check_hostname = self.check_name
        context.verify_mode = ssl.CERT_REQUIRED
        for path in (self.certificate, self.key, self.authority):
            if not path.is_file():
                raise UsageError("There is no such file for TLS.", path=path)
        try:
            context.load_cert_chain(self.certificate, self.key)
            context.load_verify_locations(self.authority)
        except (ssl.SSLError, OSError) as error:
            raise UsageError(
                "The certificate, its key or the authority cannot be used.",
                path=self.certificate,
                remedy="Give PEM files; the key belongs to the certificate and has no password.",
            ) from error
        return context
