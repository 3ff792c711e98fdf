"""Fixtures shared by all rooms."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SHARED = Path(os.environ.get("DIAPHANE_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(autouse=True, scope="session")
def _private_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Pseudonyms of the tests come from a key of their own, never the user's."""
    os.environ["DIAPHANE_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Path of a real data set; the test skips where it is absent."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"the real data set '{name}' is not here (DIAPHANE_SHARED_DATA)")
        return path

    return find


@pytest.fixture(scope="session")
def toys() -> ModuleType:
    """Makers of a tiny real bundle without torch: the module ``tests/toys.py``."""
    spec = importlib.util.spec_from_file_location("toys", Path(__file__).with_name("toys.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toy_bundle(toys: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny bundle: stacks of at most 6 slices of 16x16, bright is malignant."""
    return toys.write_toy(tmp_path_factory.mktemp("toy") / "toy")


@pytest.fixture(scope="session")
def segments() -> ModuleType:
    """Makers of tiny real segmentation bundles: the module ``tests/segments.py``."""
    spec = importlib.util.spec_from_file_location(
        "segments", Path(__file__).with_name("segments.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
