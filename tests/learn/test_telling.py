"""A finished run tells its report what it did, under pseudonyms."""

from __future__ import annotations

import csv
import html
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.learn

from diaphane.core.errors import MissingExtra  # noqa: E402 - after the check for torch
from diaphane.learn.history import Epoch  # noqa: E402
from diaphane.learn.telling import planning_of, read_families, table_of  # noqa: E402
from diaphane.learn.tensorboard import event_writer  # noqa: E402


def test_a_run_shows_its_cases_and_names_nobody(ball_run) -> None:
    run, _ = ball_run
    text = (run.folder / "report.html").read_text(encoding="utf-8")
    with (run.folder / "split.csv").open(encoding="utf-8", newline="") as file:
        keys = {row["case"] for row in csv.DictReader(file)}
    shown = re.findall(r'<span class="key">([^<]+)</span>', text)
    assert set(shown) <= keys
    assert len(shown) == 18
    words = html.unescape(re.sub(r"<[^>]+>", "", text))
    assert "Each of 24 cases" in words
    assert f"{run.bundle.manifest.model['parameters']:,} parameters" in words
    assert run.bundle.sha256[:16] in words
    assert "patient 1" not in words
    assert "images/case" not in words
    assert str(run.folder) not in words


def test_what_the_run_folder_holds_is_told(tmp_path: Path) -> None:
    (tmp_path / "families.csv").write_text(
        "name,auc,low,high,folds,cases,seconds,chosen\ncnn,0.8,,,3,60,12.5,0\nrnn,0.9,0.8,1,3,60,,1\n"
    )
    state = {"said": ["note: x"], "seconds": 61.5, "annealed_early_at": {"0": 90, "1": 40}}
    told = planning_of(tmp_path, state, {"batch": "why"}, steps=100)
    assert [f.chosen for f in told.families] == [False, True]
    assert told.families[0].value.low is None
    assert told.families[1].seconds is None
    assert (told.seconds, told.steps, told.annealed_early_at) == (61.5, 100, 40)
    assert planning_of(tmp_path, {"annealed_early_at": {}}, {}).annealed_early_at is None
    assert read_families(tmp_path / "none.csv") == ([], "auc")


def test_a_table_counts_every_case_once() -> None:
    random = np.random.default_rng(0)
    truth, answer = random.integers(0, 4, (2, 200))
    table = table_of(truth, answer, 4)
    assert table.sum() == 200
    assert table[2].sum() == (truth == 2).sum()
    assert table[1, 3] == ((truth == 1) & (answer == 3)).sum()


def test_event_files_need_the_package_and_say_so(tmp_path: Path) -> None:
    if find_spec("tensorboard") is None:
        with pytest.raises(MissingExtra, match=r"diaphane\[tensorboard\]"):
            event_writer(tmp_path)
        return
    watch = event_writer(tmp_path)
    for member in range(2):
        watch(Epoch(member, 0, 0, 1, 10, 0.5, None, 0.8, 1e-3, 2.0))
    assert len(list(tmp_path.glob("network-*/events.*"))) == 2
