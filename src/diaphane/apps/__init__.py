"""One file per clinical task, read from top to bottom; and the generic app for any bundle."""

from diaphane.apps.running import analyze, find_app

__all__ = ["analyze", "find_app"]
