"""Text from files and file names, made harmless for a terminal and for a spreadsheet."""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), separators of lines, and marks that turn the direction of text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# Also in full width, and what was guarded already.
_FORMULA = re.compile(r"'*\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")


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

    Control characters are written out; see :func:`guarded` for the rest.
    """
    return guarded(printable(text, lines=True))


def guarded(text: str) -> str:
    """Text with an apostrophe before what a spreadsheet could take for a formula.

    That is what begins with ``=``, ``+``, ``-`` or ``@``, after any white space, and holds more
    than numbers (a point is ``-1.5,2,3``). :func:`uncelled` takes the apostrophe off again.
    """
    return f"'{text}" if _FORMULA.match(text) and not _is_numbers(text) else text


def uncelled(text: str) -> str:
    """What :func:`guarded` was given."""
    return text[1:] if text[:1] == "'" and _FORMULA.match(text) else text


def _is_numbers(text: str) -> bool:
    try:
        return bool([float(part) for part in re.split("[,;]", text)])
    except ValueError:
        return False
