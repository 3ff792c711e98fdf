"""The options of reading, which stand in ``core`` because an app's request carries them."""

from diaphane.core.options import AS_IS, Limits, ReadOptions, Repair

__all__ = ["AS_IS", "Limits", "ReadOptions", "Repair"]
