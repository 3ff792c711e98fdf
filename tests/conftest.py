"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SHARED = Path(os.environ.get("DIAPHANE_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


LONG = (
    "test_wheel.py", "test_tutorial.py", "test_unlike_training.py", "test_evidence.py",
    "test_round_trip.py", "test_receiving.py", "test_lung.py", "test_analyze_real.py",
    "test_candidates.py", "test_resume.py",
)  # fmt: skip
"""Files that take longest; the many short ones even out what remains."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that of two workers none waits at the end for the other."""
    items.sort(key=lambda item: item.path.name not in LONG)


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
    """Makers of a tiny real bundle without torch."""
    import toys

    return toys


@pytest.fixture(scope="session")
def toy_bundle(toys: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the tiny bundle: stacks of at most 6 slices of 16x16, bright is malignant."""
    return toys.write_toy(tmp_path_factory.mktemp("toy") / "toy")


@pytest.fixture(scope="session")
def segments() -> ModuleType:
    """Makers of tiny real segmentation bundles."""
    import segments

    return segments


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """Writers of tiny datasets."""
    import synthetic

    return synthetic


@pytest.fixture(scope="session")
def outlined() -> ModuleType:
    """Writers of tiny data sets with masks."""
    import outlined

    return outlined
