"""What the receiver takes: SOP classes and transfer syntaxes, in the order of preference."""

from __future__ import annotations

from functools import cache
from typing import Any

VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
RETIRED = {
    "1.2.840.10008.5.1.4.1.1.3": "Ultrasound Multi-frame Image Storage (Retired)",
    "1.2.840.10008.5.1.4.1.1.5": "Nuclear Medicine Image Storage (Retired)",
    "1.2.840.10008.5.1.4.1.1.6": "Ultrasound Image Storage (Retired)",
}
"""Old archives still send these."""
_LITTLE = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")


@cache
def storage_classes() -> tuple[str, ...]:
    """Every storage SOP class that pynetdicom knows, and the retired ones that still come."""
    from pynetdicom import AllStoragePresentationContexts

    known = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    return tuple(sorted(known | set(RETIRED)))


@cache
def transfer_syntaxes() -> tuple[str, ...]:
    """Uncompressed first, so that nobody compresses for us; then every other one that is known."""
    from pydicom.uid import AllTransferSyntaxes

    known = [str(uid) for uid in AllTransferSyntaxes if not uid.name.startswith("SMPTE")]
    return (*_LITTLE, *(uid for uid in known if uid not in _LITTLE))


def contexts() -> list[Any]:
    """Presentation contexts as pynetdicom negotiates them."""
    from pynetdicom import build_context

    offered = [build_context(VERIFICATION, list(_LITTLE)), build_context(COMMITMENT, list(_LITTLE))]
    return offered + [build_context(uid, list(transfer_syntaxes())) for uid in storage_classes()]
