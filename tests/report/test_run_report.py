"""The report of a run: cases with pictures, right and wrong, the plan's story, methods, CLAIM."""

from __future__ import annotations

import base64
import html
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diaphane.core.evaluation import Evaluation, Interval
from diaphane.report import (
    Confusion,
    Engine,
    Example,
    Family,
    Language,
    Material,
    Planning,
    RunFacts,
    SegmentedExample,
    write_evaluation,
    write_run_report,
    write_segmentation_run,
)
from diaphane.report.run_cases import FURTHER, WORST, example_views, mean_dice

CLASSES = ("benign", "<i>odd & long</i> malignant")
PLAN = {
    "name": "lesions", "task": "binary", "intended_use": "Research.", "set_level": 0.9,
    "input": {"kind": "image", "size": [64, 96], "mask": "none"},
    "recipe": {"version": 1, "steps": [
        {"grey": {}}, {"rescale_intensity": {"in_low": 0.0, "in_high": 255.0}},
        {"resize": {"size": [64, 96]}},
    ]},
    "network": {"widths": [16, 32], "rnn": "gru", "hidden": 24, "sequence": "rows"},
    "optimiser": {"learning_rate": 0.004, "weight_decay": 0.05, "warmup": 0.1, "clip": 2.0,
                  "ema": 0.99},
    "batch": 15, "steps": 700, "smoothing": 0.05, "views": ["as_is", "flip_x"],
    "augmentation": {"flip_x": True, "rotation": 10.0, "scale": 0.1, "gamma": 0.0},
    "split": {"folds": 5}, "licence": "CC BY 4.0",
}  # fmt: skip
FACTS = RunFacts(
    Material(
        80, 40, True, {"benign": 40, "malignant": 40}, "image", "US", "1", 1, (1, 96, 128),
        (None, 0.2, 0.2), {"train": {"cases": 80, "groups": 40}}, False,
        ({"name": "Made up", "licence": "CC BY 4.0", "citation": "Doe 2020", "url": ""},),
        {"UnreadableFile": 2},
    ),
    Planning(
        {"batch": "for 60 training cases", "families": "the first unless another is better"},
        ("warning: 2 pairs of cases hold the same image.", "note: nothing else."),
        (Family("cnn", Interval(0.88, 0.8, 0.93), False, 3, 60, 31.0),
         Family("cnn-rnn", Interval(0.9, 0.85, 0.95), True, 3, 60, 44.0)),
        "auc", 1200.0, 900.0, 700, 520,
    ),
    Engine("cpu", 2, "A processor", "Linux", {"diaphane": "0.1.0", "torch": "2.13"}, 5, 123456, 7),
)  # fmt: skip
FIGURES = Evaluation(
    "binary", "out_of_fold", 80, 40, 0,
    {"auc": Interval(0.905, 0.84, 0.95), "sensitivity": Interval(0.8, 0.7, 0.9),
     "specificity": Interval(0.75, 0.6, 0.85)},
    settings={"seed": 7, "rounds": 2000, "level": 0.95, "threshold": 0.5},
)  # fmt: skip


def example(number: int, right: float, images: int = 1) -> Example:
    shade = np.full((20, 30), number * 9 % 255, np.uint8)
    return Example(
        f"C-{number:04d}", (shade,) * images, CLASSES[0],
        {CLASSES[0]: right, CLASSES[1]: 1 - right}, right, right < 0.5,
    )  # fmt: skip


def words_of(path: Path) -> str:
    """What a reader sees, without markup."""
    body = path.read_text(encoding="utf-8").split("</style>")[1].split("<script>")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = Confusion(CLASSES, np.array([[30, 10], [4, 36]]), 0.42, "youden", 0.9, 0.75, True)
    return write_run_report(
        tmp_path_factory.mktemp("run") / "report.html",
        plan=PLAN, epochs=[], evaluation=FIGURES, calibration={"cross_fitted": True},
        confusion=[table], examples=[example(i, (i * 37 % 41) / 41) for i in range(40)],
        facts=FACTS,
    )  # fmt: skip


def test_the_worst_cases_come_first_with_their_pictures(page) -> None:
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"C-\d{4}", re.sub(r'alt="[^"]*"', "", text))
    right = [(int(key[2:]) * 37 % 41) / 41 for key in shown]
    assert len(shown) == WORST + FURTHER
    assert right == sorted(right)
    assert right[0] == 0.0
    assert text.count('class="case wrong"') == sum(r < 0.5 for r in right)
    uris = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert len(uris) == len(shown)
    assert Image.open(io.BytesIO(base64.b64decode(uris[0]))).size == (30, 20)


def test_right_and_wrong_answers_are_counted_at_the_operating_point(page) -> None:
    words = words_of(page)
    assert "At Youden's index" in words
    assert "30 75% 10 25% 40" in words
    assert "4 10% 36 90% 40" in words
    assert "Positive from a probability of 0.42" in words
    assert "sensitivity 90.0%, specificity 75.0%" in words
    assert "chosen on these same cases" in words


def test_the_plan_tells_its_story(page) -> None:
    words = words_of(page)
    for said in (
        "2 pairs of cases hold the same image.", "The time allowed was 20.0 min",
        "began early, at step 520", "damaged or of unknown format 2",
        "CNN read by an RNN chosen 0.900 (0.850 to 0.950) 3 60 44 s",
        "batch 15 for 60 training cases", "the first unless another is better",
    ):  # fmt: skip
        assert said in words
    assert words.index("CNN read by an RNN chosen") < words.index("plain CNN 0.880")


def test_the_methods_paragraph_states_what_was_done(page) -> None:
    words = words_of(page)
    for said in (
        "80 cases of 40 patients", "benign (n = 40)", "an image (Ultrasound), of a median size",
        "128 × 96 pixels and a median spacing of 0.2 × 0.2 mm", "2 further cases could not be read",
        "Made up; licence CC BY 4.0; Doe 2020", "5 folds", "in one fold (seed 7)",
        "conversion to grey; intensity from 0 to 255 scaled to 0 to 1; resizing to 96 × 64 pixels",
        "(channels 16, 32)", "A bidirectional GRU of 24 units read the rows",
        "logits of 5 such networks", "123,456 parameters", "mirrored left and right",
        "Among 2 kinds of network", "learning rate 0.004", "batches of 15", "planned for 700 steps",
        "smoothed by 0.05", "turned by up to 10°; scaled by up to ±11%.", "20.0 min",
        "had not seen the patient", "area under the ROC curve 0.905 (0.840 to 0.950)",
        "95% percentile bootstrap intervals over patients (2,000 rounds, seed 7)",
        "diaphane 0.1.0, torch 2.13", "A processor; Linux; 2 compute threads",
        "The run took 15.0 min", "The seed of all randomness was 7",
    ):  # fmt: skip
        assert said in words, said
    assert "gamma" not in words.split("Methods, for a paper")[1]


def test_the_claim_checklist_has_every_item_once(page) -> None:
    text = page.read_text(encoding="utf-8").split("CLAIM checklist")[1]
    rows = re.findall(r'<tr class="(filled|partly|authors)"><td class="n">(\d+)</td>', text)
    assert [int(number) for _, number in rows] == list(range(1, 45))
    states = {int(number): state for state, number in rows}
    assert states[20] == states[22] == states[37] == "filled"
    assert states[5] == states[14] == states[44] == "authors"
    assert text.count("to be filled by the authors") == sum(s != "filled" for s in states.values())


def test_what_is_not_known_is_not_claimed(tmp_path) -> None:
    path = write_run_report(tmp_path / "r.html", plan={"task": "multiclass"}, epochs=[])
    words = words_of(path)
    assert "No held-out case could be scored" in words
    for never in ("parameters in total", "patients", "bootstrap", "AdamW", "averaged"):
        assert never not in words.split("CLAIM")[0]


def test_ungrouped_data_say_what_that_risks(tmp_path) -> None:
    facts = replace(FACTS, material=replace(FACTS.material, grouped=False))
    path = write_run_report(
        tmp_path / "r.html", plan=PLAN, epochs=[], evaluation=FIGURES, facts=facts
    )
    words = words_of(path)
    assert "images of one patient may stand on both sides" in words
    assert "the data set does not identify patients" in words
    assert "in one fold" not in words


def test_a_class_name_is_text_and_never_markup(page) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<i>odd" not in text
    assert "&lt;i&gt;odd &amp; long&lt;/i&gt; malignant" in text


def test_slices_of_a_sequence_stand_side_by_side(tmp_path) -> None:
    path = write_run_report(
        tmp_path / "r.html", plan=PLAN, epochs=[], examples=[example(1, 0.3, images=3)]
    )
    assert path.read_text(encoding="utf-8").count("data:image/png") == 3


def test_many_classes_get_a_table_of_their_own(tmp_path) -> None:
    names = [f"class {k}" for k in range(9)]
    metrics = {"auc": Interval(0.9, 0.8, 1.0)}
    metrics |= {f"auc:{name}": Interval(0.5 + k / 20, None, None) for k, name in enumerate(names)}
    figures = replace(FIGURES, metrics=metrics)
    words = words_of(write_evaluation(figures, tmp_path / "r.html"))
    assert "By class or label Area under the ROC curve class 0 0.500 class 1 0.550" in words


def segmented(number: int, shift: int, place: tuple[int, int] | None = (3, 9)) -> SegmentedExample:
    truth, answer = np.zeros((40, 50), np.uint8), np.zeros((40, 50), np.uint8)
    truth[10:25, 10:30], truth[10:25, 20:30] = 1, 2
    answer[10 + shift : 25 + shift, 10:30] = 1
    overlap = (truth == 1) & (answer == 1)
    dice = 2 * float(overlap.sum()) / float((truth == 1).sum() + (answer == 1).sum())
    image = truth * 80.0 + 5
    return SegmentedExample(
        f"S-{number}", image, truth, answer, {"head": dice, "tail": None}, {"head": 0.8}, place
    )


def test_a_segmentation_run_draws_truth_and_answer(tmp_path) -> None:
    figures = Evaluation(
        "segmentation", "out_of_fold", 9, 9, 0,
        {"dice": Interval(0.7, 0.6, 0.8), "dice:head": Interval(0.7, 0.6, 0.8)},
        settings={"seed": 0, "rounds": 100, "level": 0.95},
    )  # fmt: skip
    rows = [
        {"member": m, "fold": m, "step": s, "loss": 1 / s, "dice": 0.5, "dice:head": 0.4,
         "dice:tail": None if s < 200 else 0.6}
        for m in range(2) for s in (100, 200, 300)
    ]  # fmt: skip
    path = write_segmentation_run(
        tmp_path / "r.html", epochs=rows, labels={"head": 1, "tail": 2}, evaluation=figures,
        plan={"task": "segmentation", "patch": [1, 48, 64], "overlap": 0.5, "steps": 300,
              "network": {"kind": "unet2d", "widths": [16, 32], "deep_supervision": 1},
              "optimiser": PLAN["optimiser"], "foreground": 0.5, "batch": 2},
        examples=[segmented(1, 0), segmented(2, 6), segmented(3, 3, None)],
        quality={"head": [(0.5, 0.4), (0.7, 0.75), (0.9, 0.85)], "tail": [(0.5, 0.5)]},
    )  # fmt: skip
    text, words = path.read_text(encoding="utf-8"), words_of(path)
    assert re.findall(r"S-\d", re.sub(r'alt="[^"]*"', "", text)) == ["S-2", "S-3", "S-1"]
    assert text.count('<path class="truth"') == 6
    assert text.count('<path class="answer"') == 3
    assert words.count("slice 3 of 9") == 2
    assert "n = 3; Pearson correlation 0.95" in words
    assert "too few or too alike" in words
    assert "a two-dimensional U-Net with 16, 32 channels" in words
    assert "patches of 64 × 48 voxels that overlap by 50%" in words
    assert text.count("<svg class") + text.count("<svg xmlns") >= 5


def test_an_evaluation_of_masks_shows_volumes(tmp_path) -> None:
    path = write_evaluation(
        Evaluation("segmentation", "all", 2, 2, 0, {"dice": Interval(0.7, 0.6, 0.8)}),
        tmp_path / "r.html", labels={"head": 1}, examples=[segmented(1, 2)],
        volumes={"head": [(1200.0, 1000.0), (900.0, 1100.0)], "none": [(0.0, 0.0)]},
    )  # fmt: skip
    words = words_of(path)
    assert "Predicted (mm³)" in words
    assert "n = 2; predicted minus true: mean 0, 95% of differences within −392 to 392" in words
    assert "Volume: none" not in words


def test_a_run_report_speaks_chinese(tmp_path) -> None:
    path = write_run_report(
        tmp_path / "r.html", plan=PLAN, epochs=[], evaluation=FIGURES, facts=FACTS, lang="zh"
    )
    words = words_of(path)
    assert "数据集含 40 名患者（组）的 80 例" in words
    assert "由作者填写" in words
    assert "The " not in words.split("论文的方法部分")[1].split("CLAIM")[0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=60))
def test_shown_cases_are_the_worst_and_some_of_the_rest(right: list[float]) -> None:
    worst, further = example_views([example(i, r) for i, r in enumerate(right)], Language())
    keys = [row["case"] for row in worst + further]
    assert len(set(keys)) == len(keys) == min(len(right), len(keys))
    assert len(worst) == min(WORST, len(right))
    assert len(further) == min(FURTHER, len(right) - len(worst))
    at = {f"C-{i:04d}": r for i, r in enumerate(right)}
    left = sorted(right)[len(worst) :]
    assert all(at[row["case"]] <= left[0] for row in worst if left)


def test_mean_dice_leaves_out_labels_that_nobody_has() -> None:
    assert mean_dice(segmented(1, 0)) == pytest.approx(segmented(1, 0).dice["head"])
    assert mean_dice(replace(segmented(1, 0), dice={"head": None})) == 1.0
