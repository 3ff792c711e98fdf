"""diaphane: a scan goes in; a measured, calibrated finding comes out that shows why.

The public names below are loaded on first use, so that ``import diaphane`` stays light.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diaphane.acquire import read, read_series
    from diaphane.apps import analyze
    from diaphane.batch import calibrate, compare, evaluate, predict, select
    from diaphane.bundle import Bundle, Segmenter, load_bundle
    from diaphane.core.case import Case, Identified, Series
    from diaphane.core.errors import DiaphaneError
    from diaphane.core.evaluation import Evaluation
    from diaphane.core.finding import Analysis, Evidence, Finding
    from diaphane.core.geometry import Geometry
    from diaphane.core.volume import Volume
    from diaphane.learn import plan, pretrain, train
    from diaphane.preprocess import Recipe

try:
    __version__ = version("diaphane")
except PackageNotFoundError:  # a source tree on sys.path, not installed
    __version__ = "0+unknown"

_HOME = {
    "Analysis": "diaphane.core.finding",
    "Bundle": "diaphane.bundle",
    "Case": "diaphane.core.case",
    "DiaphaneError": "diaphane.core.errors",
    "Evaluation": "diaphane.core.evaluation",
    "Evidence": "diaphane.core.finding",
    "Finding": "diaphane.core.finding",
    "Geometry": "diaphane.core.geometry",
    "Identified": "diaphane.core.case",
    "Recipe": "diaphane.preprocess",
    "Segmenter": "diaphane.bundle",
    "Series": "diaphane.core.case",
    "Volume": "diaphane.core.volume",
    "analyze": "diaphane.apps",
    "calibrate": "diaphane.batch",
    "compare": "diaphane.batch",
    "evaluate": "diaphane.batch",
    "load_bundle": "diaphane.bundle",
    "plan": "diaphane.learn",
    "predict": "diaphane.batch",
    "pretrain": "diaphane.learn",
    "read": "diaphane.acquire",
    "read_series": "diaphane.acquire",
    "select": "diaphane.batch",
    "train": "diaphane.learn",
}

__all__ = [
    "Analysis",
    "Bundle",
    "Case",
    "DiaphaneError",
    "Evaluation",
    "Evidence",
    "Finding",
    "Geometry",
    "Identified",
    "Recipe",
    "Segmenter",
    "Series",
    "Volume",
    "__version__",
    "analyze",
    "calibrate",
    "compare",
    "evaluate",
    "load_bundle",
    "plan",
    "predict",
    "pretrain",
    "read",
    "read_series",
    "select",
    "train",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'diaphane' has no attribute {name!r}") from None
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    """Keeps ``diaphane.evaluate`` the verb.

    Importing the room of that name would set the attribute to the room (see ADR 6).
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
