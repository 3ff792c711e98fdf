"""Small datasets on disk, and one run trained on them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def balls(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four stacks of outlined balls, one a patient."""
    return synthetic.write_balls(tmp_path_factory.mktemp("balls") / "balls", 24, per_group=1)


@pytest.fixture(scope="session")
def ball_run(balls: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of two folds on them, with the lines that it said."""
    from diaphane.learn import TrainOptions, train

    out = tmp_path_factory.mktemp("run") / "run"
    said: list[str] = []
    options = TrainOptions(folds=2, epochs=3, threads=1, probes=4)
    return train(balls, out, options=options, say=said.append), said
