"""Text of patients as it was meant, whatever its character set."""

from __future__ import annotations

# DICOM PS3.5 Annex K: switches to GB 2312 in ISO 2022 IR 58. pydicom leaves it to Python's codec,
# which knows the characters but not the switch.
_SWITCHES = ("\x1b$)A",)


def without_switches(text: str) -> str:
    """Decoded text less the switches between character sets that decoding left behind."""
    for switch in _SWITCHES:
        text = text.replace(switch, "")
    return text
