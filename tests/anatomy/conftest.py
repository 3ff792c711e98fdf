"""One synthetic chest, segmented once for all tests of the room."""

import pytest

from diaphane.acquire.phantom import chest_phantom
from diaphane.anatomy import segment_lungs

GRID = {"spacing": (2.5, 1.4, 1.4), "shape": (136, 264, 264)}
PLANTED = [(16.0, "free"), (9.0, "free"), (10.0, "pleural"), (7.0, "vascular")]


@pytest.fixture(scope="session")
def chest():
    return chest_phantom(11, nodules=PLANTED, **GRID)


@pytest.fixture(scope="session")
def chest_lungs(chest):
    return segment_lungs(chest.volume)
