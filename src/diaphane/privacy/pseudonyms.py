"""Keyed pseudonyms: the same person gets the same name, and nobody else can compute it.

HMAC-SHA256 (RFC 2104) of the kind and the text, cut to 64 bits.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from dataclasses import dataclass, field
from pathlib import Path

from diaphane.privacy.keys import home_folder, load_key

_PREFIX = {"patient": "P", "case": "C", "series": "S", "study": "E", "group": "G"}
_DIGITS = 16


@dataclass(frozen=True)
class Pseudonymiser:
    """Gives pseudonyms under one secret key.

    Attributes
    ----------
    key:
        32 secret bytes; never shown.
    """

    key: bytes = field(repr=False)

    @classmethod
    def load(cls, folder: Path | None = None) -> Pseudonymiser:
        """The one of this installation; its key is made at first use.

        Raises
        ------
        PrivacyError
            When the key file is damaged.
        OutputError
            When it cannot be made.
        """
        return _loaded(str(folder or home_folder()))

    def pseudonym(self, text: str, kind: str = "patient") -> str:
        """Pseudonym such as ``P-3f9a1c52b07e44d1`` of ``text``.

        ``kind`` is "patient", "case", "series", "study" or "group"; the same text of another
        kind gets an unrelated pseudonym.
        """
        message = f"{kind}\0{text}".encode("utf-8", "surrogateescape")
        digest = hmac.new(self.key, message, hashlib.sha256).hexdigest()
        return f"{_PREFIX[kind]}-{digest[:_DIGITS]}"


@functools.cache
def _loaded(folder: str) -> Pseudonymiser:
    return Pseudonymiser(load_key(Path(folder)))
