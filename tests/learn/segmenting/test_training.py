"""From data sets with masks to bundles: everything that a mask can be, and a run that is cut short."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from diaphane.bundle import load_segmenter
from diaphane.core.errors import DatasetError, Diverged, PlanError
from diaphane.learn import plan
from diaphane.learn.runs import RunFolder
from diaphane.models.segment_files import load_segmenter_weights


@pytest.fixture(scope="module")
def balls(outlined: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cases = [outlined.volume(i, (10 + i % 3, 16, 18)) for i in range(6)]
    path: Path = outlined.write_msd(tmp_path_factory.mktemp("balls") / "set", cases)
    return path


@pytest.fixture(scope="module")
def run(balls: Path, trained: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return trained(balls, tmp_path_factory.mktemp("run") / "run")[0]


def test_a_run_leaves_bundle_report_and_figures(run: Any, balls: Path) -> None:
    folder = RunFolder(run.folder)
    assert folder.read_state()["status"] == "done"
    assert (run.folder / "report.html").stat().st_size > 10_000
    bundle = load_segmenter(folder.bundle)
    manifest = bundle.manifest
    assert manifest.classes == ("rim", "core")
    assert manifest.metrics_about["n"] == 6
    assert set(manifest.metrics) >= {"dice", "dice:rim", "dice:core"}
    assert manifest.model["members"] == 2
    assert len(manifest.seen.train) == 6
    with (run.folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    mean = np.mean([float(row["dice:rim"]) for row in rows])
    assert manifest.metrics["dice:rim"].value == pytest.approx(mean, abs=1e-4)
    with (run.folder / "split.csv").open() as file:
        split = {row["case"]: row["held_by_fold"] for row in csv.DictReader(file)}
    assert {row["case"]: row["fold"] for row in rows} == split


def test_nothing_of_a_run_names_a_file(run: Any) -> None:
    for file in run.folder.rglob("*"):
        if file.is_file() and file.suffix in {".csv", ".json", ".yaml", ".html", ".md"}:
            assert "c_00" not in file.read_text(encoding="utf-8"), file.name


def test_the_bundle_outlines_on_the_grid_of_the_case(run: Any, balls: Path) -> None:
    from diaphane.acquire import open_dataset

    case = open_dataset(balls).entries[0].load()
    said = run.bundle.segment(case)
    assert said.labels.shape == case.volume.shape
    assert set(np.unique(said.labels.voxels)) <= {0, 1, 2}
    assert all(0 <= value <= 1 for value in said.predicted_dice.values())


def test_a_run_that_was_cut_short_ends_the_same(
    run: Any, balls: Path, planned: Callable[..., Any], trained: Callable[..., Any], tmp_path: Path
) -> None:
    import diaphane.learn.segmenting.loop as loop
    from diaphane.learn.segmenting.looks import Looks

    out = tmp_path / "run"
    written = Looks.add
    count = 0

    class Stopped(Exception):
        pass

    def stop_at_the_third(self: Looks, look: Any) -> None:
        nonlocal count
        count += 1
        written(self, look)
        if count == 3:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Looks, "add", stop_at_the_third)
        with pytest.raises(Stopped):
            trained(balls, out)
    folder = RunFolder(out)
    again, _ = trained(balls, out, state=folder.read_state())
    for number in range(2):
        one = load_segmenter_weights(folder.member(number)).state_dict()
        other = load_segmenter_weights(RunFolder(run.folder).member(number)).state_dict()
        assert all(np.array_equal(one[key], other[key]) for key in one)
    assert (again.folder / "bundle" / "model.onnx").read_bytes() == (
        run.folder / "bundle" / "model.onnx"
    ).read_bytes()


def test_another_plan_or_another_data_set_does_not_resume(
    run: Any, balls: Path, outlined: ModuleType, trained: Callable[..., Any], tmp_path: Path
) -> None:
    state = RunFolder(run.folder).read_state()
    with pytest.raises(PlanError, match="plan changed"):
        trained(balls, tmp_path / "a", state=state, steps=7)
    other = outlined.write_msd(
        tmp_path / "other", [outlined.volume(90 + i, (10, 16, 18)) for i in range(6)]
    )
    with pytest.raises(PlanError, match="dataset changed"):
        trained(other, tmp_path / "b", plan=run.plan, state=state)


def test_odd_masks_train(outlined: ModuleType, trained: Callable[..., Any], tmp_path: Path) -> None:
    cases = [outlined.volume(i, (6, 14, 15)) for i in range(6)]
    cases[0] = (cases[0][0], np.zeros_like(cases[0][1]))  # nothing in it
    single = np.zeros_like(cases[1][1])
    single[3, 7, 7] = 1  # one voxel, and the second label is nowhere
    cases[1] = (cases[1][0], single)
    flat = outlined.volume(7, (1, 14, 15))  # one slice among volumes
    cases[2] = flat
    cases[3] = outlined.volume(8, (3, 5, 40))  # smaller than the patch one way, larger another
    made, said = trained(outlined.write_msd(tmp_path / "set", cases), tmp_path / "run")
    assert made.bundle.manifest.metrics_about["n"] == 6
    assert not made.refused
    assert any("step 6/6" in line for line in said)


def test_masks_that_are_all_empty_are_refused(outlined: ModuleType, tmp_path: Path) -> None:
    cases = [
        (outlined.volume(i, (6, 10, 10))[0], np.zeros((6, 10, 10), np.uint8)) for i in range(3)
    ]
    path = outlined.write_msd(tmp_path / "set", cases, labels=("thing",))
    with pytest.raises(DatasetError, match="All masks are empty"):
        plan(path)


def test_a_single_case_trains_and_promises_nothing(
    outlined: ModuleType, trained: Callable[..., Any], tmp_path: Path
) -> None:
    path = outlined.write_msd(tmp_path / "set", [outlined.volume(0, (4, 12, 12))])
    made, _ = trained(path, tmp_path / "run")
    assert made.figures is None
    assert made.bundle.manifest.metrics == {}


@pytest.mark.parametrize("colour", [False, True])
def test_pictures_smaller_than_a_patch_train(
    colour: bool, outlined: ModuleType, trained: Callable[..., Any], tmp_path: Path
) -> None:
    path = outlined.write_lines(tmp_path / "set", 4, 16 if colour else 40, colour=colour)
    made, _ = trained(path, tmp_path / "run")
    assert made.bundle.manifest.patch.channels == (3 if colour else 1)
    assert made.bundle.manifest.metrics["dice"].value is not None


def test_the_gru_trains_on_volumes(
    balls: Path, trained: Callable[..., Any], tmp_path: Path
) -> None:
    network = {"kind": "cnn_gru", "widths": [4, 6], "strides": [[1, 2, 2]], "deep_supervision": 0}
    made, _ = trained(balls, tmp_path / "run", network=network, patch=[4, 16, 16], folds=1)
    assert made.bundle.manifest.model["network"]["kind"] == "cnn_gru"


def test_a_mask_with_an_unknown_value_is_set_aside(
    outlined: ModuleType, planned: Callable[..., Any], trained: Callable[..., Any], tmp_path: Path
) -> None:
    cases = [outlined.volume(i, (6, 12, 12)) for i in range(5)]
    path = outlined.write_msd(tmp_path / "set", cases)
    plan = planned(path, labels={"rim": 1}, folds=1)
    with pytest.raises(DatasetError, match="No case"):
        trained(path, tmp_path / "run", plan=plan)


def test_numbers_that_are_none_stop_the_run_and_name_the_case(
    outlined: ModuleType, trained: Callable[..., Any], tmp_path: Path
) -> None:
    path = outlined.write_msd(tmp_path / "set", [outlined.volume(i, (6, 12, 12)) for i in range(4)])
    optimiser = {"learning_rate": 1e30, "clip": 1e30}
    with pytest.raises(Diverged, match="with cases "):
        trained(path, tmp_path / "run", optimiser=optimiser, steps=40, look_every=2)
    assert not (tmp_path / "run" / "bundle").exists()
