"""The verb ``demo``: a scan is made, analysed, and what was planted is found again."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from diaphane.acquire.phantom import Nodule
from diaphane.cli import app
from diaphane.cli.demo import PLANTED, is_found


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def done(place):
    return CliRunner().invoke(app, ["demo", "--out", str(place / "d"), "--json"])


def test_what_was_planted_is_found(done, place):
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["planted"] == said["found"] == len(PLANTED)
    assert (place / "d" / "result" / "report.html").exists()
    assert len(list((place / "d" / "scan").glob("*.dcm"))) > 100


def test_something_else_in_the_way_is_kept(place):
    (place / "e" / "scan").mkdir(parents=True)
    (place / "e" / "scan" / "thesis.txt").write_text("mine")
    done = CliRunner().invoke(app, ["demo", "--out", str(place / "e")])
    assert done.exit_code == 2
    assert (place / "e" / "scan" / "thesis.txt").read_text() == "mine"


def test_a_nodule_that_no_finding_covers_counts_as_missed():
    import numpy as np

    from diaphane.core.finding import Analysis
    from diaphane.core.geometry import Geometry
    from diaphane.core.volume import Volume

    grid = Geometry.axial((10, 20, 20), (2.0, 1.0, 1.0))
    volume = Volume(np.zeros(grid.shape, np.int16), grid, "CT", "HU")
    nodule = Nodule((5.0, 5.0, 6.0), 6.0)
    empty = Analysis("lung-ct", "1", "P-0", volume, ())
    assert not is_found(nodule, empty)
    labels = np.full(grid.shape, 1, np.uint16)
    assert not is_found(nodule, replace(empty, labels=labels))
