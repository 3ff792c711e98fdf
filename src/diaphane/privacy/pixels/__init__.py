"""Text burned into pixels: found, blanked, and shown before and after."""

from diaphane.privacy.pixels.blanking import blank
from diaphane.privacy.pixels.boxes import Box
from diaphane.privacy.pixels.finding import find_text
from diaphane.privacy.pixels.preview import preview

__all__ = ["Box", "blank", "find_text", "preview"]
