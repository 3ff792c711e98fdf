"""The verb ``demo``, short of a whole one: tests/integration/test_wheel.py goes the whole way."""

from dataclasses import replace

from typer.testing import CliRunner

from diaphane.acquire.phantom import Nodule
from diaphane.cli import app
from diaphane.cli.demo import is_found


def test_something_else_in_the_way_is_kept(tmp_path):
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "thesis.txt").write_text("mine")
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path)])
    assert done.exit_code == 2
    assert (tmp_path / "scan" / "thesis.txt").read_text() == "mine"


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
