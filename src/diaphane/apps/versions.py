"""Versions of what an analysis was made with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("diaphane", "numpy", "scipy", "scikit-image", "onnxruntime", "pydicom", "nibabel")


def used_versions() -> dict[str, str]:
    """Version by package, and of Python; packages that are absent are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a source tree on sys.path, not installed
            continue
    return found
