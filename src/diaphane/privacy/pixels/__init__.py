"""Text burned into pixels: found, blanked, and shown before and after."""

from diaphane.privacy.pixels.blanking import blank
from diaphane.privacy.pixels.boxes import PIXELS, Box
from diaphane.privacy.pixels.finding import find_text, is_searched
from diaphane.privacy.pixels.preview import preview

__all__ = ["PIXELS", "Box", "blank", "find_text", "is_searched", "preview"]
