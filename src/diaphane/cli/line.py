"""What the verbs of the network share: who is spoken to, and how the line is secured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diaphane.core.errors import UsageError

if TYPE_CHECKING:
    from diaphane.acquire.network import Tls

Title = Annotated[str, typer.Option("--aet", metavar="AE", help="Own application entity title.")]
Timeout = Annotated[
    float, typer.Option("--timeout", min=1, metavar="S", help="Seconds to wait for an answer.")
]
Certificate = Annotated[
    Path | None, typer.Option("--tls-cert", metavar="PEM", help="Own certificate: turns TLS on.")
]
Key = Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", help="Its private key.")]
Authority = Annotated[
    Path | None,
    typer.Option("--tls-ca", metavar="PEM", help="Who must have signed the other side's."),
]


def tls_of(certificate: Path | None, key: Path | None, authority: Path | None) -> Tls | None:
    """All three files or none.

    Raises
    ------
    UsageError
        When some are missing.
    """
    given = (certificate, key, authority)
    if not any(given):
        return None
    if certificate is None or key is None or authority is None:
        raise UsageError(
            "TLS needs a certificate, its key and an authority.",
            remedy="Give --tls-cert, --tls-key and --tls-ca together.",
        )
    from diaphane.acquire.network import Tls

    return Tls(certificate, key, authority)
