"""Text from files and file names, made harmless for a terminal and for a spreadsheet."""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), separators of lines, and marks that turn the direction of text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_FORMULA = ("=", "+", "-", "@")


def printable(text: str, *, lines: bool = False) -> str:
    r"""The text with control characters as ``\x1b``, so that a terminal only shows them.

    ``lines`` keeps line ends.
    """
    if text.isprintable():
        return text
    return _CONTROL.sub(lambda found: _written(found[0], lines=lines), text)


def _written(character: str, *, lines: bool) -> str:
    if lines and character == "\n":
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def cell(text: str) -> str:
    """Text for a cell of a CSV file that a spreadsheet does not take for a formula.

    Control characters are written out. What begins with ``=``, ``+``, ``-`` or ``@`` and is no
    number gets an apostrophe before it, which :func:`uncelled` takes off again.
    """
    text = printable(text, lines=True)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def uncelled(text: str) -> str:
    """What :func:`cell` was given, but for control characters."""
    return text[1:] if text[:1] == "'" and text[1:].startswith(_FORMULA) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
