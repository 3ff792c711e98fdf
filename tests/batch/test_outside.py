"""Another tool's predictions: matched, checked, and judged as our own are."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diaphane import batch
from diaphane.batch.matching import match_names
from diaphane.batch.truth import likely_positive
from diaphane.bundle import load_classifier
from diaphane.core.errors import DatasetError, EmptyInput, UsageError
from tables import rows, write_csv


def judge(predictions, dataset, out, split="all", **more):
    asked = batch.Outside(Path(predictions), Path(dataset), split, rounds=50, **more)
    return batch.evaluate_predictions(asked, out)


@pytest.fixture(scope="module")
def stacks(toys, tmp_path_factory):
    return toys.write_stacks(tmp_path_factory.mktemp("d") / "set", 12)


def chance(i):
    return 0.3 + 0.4 * (i % 2) - 0.02 * i


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """An nnU-Net folder of six volumes with two labels, and its masks as another tool's."""
    place = tmp_path_factory.mktemp("n")
    rng = np.random.default_rng(0)
    for folder in ("set/imagesTr", "set/labelsTr", "out"):
        (place / folder).mkdir(parents=True)
    for i in range(6):
        labels = np.zeros((6, 16, 18), np.uint8)
        labels[1:5, 3:9, 3:9] = 1
        labels[1:5, 9:13, 9 : 13 + i % 3] = 2
        found = np.roll(labels, i % 2, axis=2)
        for name, values in (
            (f"set/imagesTr/c{i}_0000", rng.normal(size=labels.shape).astype(np.float32)),
            (f"set/labelsTr/c{i}", labels),
            (f"out/c{i}", found),
        ):
            write_volume(place / f"{name}.nii.gz", values)
    stated = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "front": 1, "back": 2},
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    (place / "set/dataset.json").write_text(json.dumps(stated))
    (place / "out/plans.json").write_text("{}")
    return place


def write_volume(path, values, spacing=(1.0, 1.0, 2.0), origin=(0.0, 0.0, 0.0)):
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))


# Tables.


def test_a_table_gives_the_figures_of_our_own_evaluation(toys, stacks, tmp_path):
    folder = toys.write_toy(tmp_path / "toy", manifest=toys.eight_bit_manifest())
    ours = batch.evaluate(
        load_classifier(folder, threads=1), stacks, "all", tmp_path / "a", rounds=50
    )
    theirs = judge(tmp_path / "a/predictions.csv", stacks, tmp_path / "b")
    assert theirs.evaluation.metrics == ours.evaluation.metrics
    assert theirs.evaluation.groups == ours.evaluation.groups == 6
    assert "images/s" not in (tmp_path / "b/report.html").read_text()
    assert not (tmp_path / "b/rejected.csv").exists()
    assert rows(tmp_path / "b/predictions.csv")[1]["label"] == "malignant"


@pytest.mark.parametrize(
    ("header", "line"),
    [
        (("case", "probability:benign", "probability:malignant"), lambda i, p: (i, 1 - p, p)),
        (("File", "p_benign", "p_malignant"), lambda i, p: (f"{i}.nii.gz", 1 - p, p)),
        (("id", "malignant"), lambda i, p: (f"/home/x/set/{i}/", p)),
        (("name", "probability"), lambda i, p: (Path(i).name, p)),
        (("image", "score"), lambda i, p: (f"{Path(i).name}_0000.png", p)),
    ],
)
def test_tables_as_tools_write_them(stacks, tmp_path, header, line):
    cases = [f"images/s{i:02d}" for i in range(12)]
    table = write_csv(
        tmp_path / "t.csv", header, [line(case, chance(i)) for i, case in enumerate(cases)]
    )
    done = judge(table, stacks, tmp_path / "out", positive="malignant")
    written = rows(tmp_path / "out/predictions.csv")
    assert [row["case"] for row in written] == cases
    found = [float(row["probability:malignant"]) for row in written]
    assert found == pytest.approx([chance(i) for i in range(12)])
    assert done.evaluation.settings["positive"] == "malignant"


def test_a_decimal_comma_between_semicolons(stacks, tmp_path):
    lines = [f"images/s{i:02d};{chance(i):.3f}".replace(".", ",") for i in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["case;probability", *lines]) + "\n")
    judge(tmp_path / "t.csv", stacks, tmp_path / "o")
    written = [float(r["probability:malignant"]) for r in rows(tmp_path / "o/predictions.csv")]
    assert written == pytest.approx([round(chance(i), 3) for i in range(12)])
    (tmp_path / "t.csv").write_bytes("case,probability\nimages/sé,0.5\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="CSV UTF-8"):
        judge(tmp_path / "t.csv", stacks, tmp_path / "p")


def test_semicolons_and_a_byte_order_mark(stacks, tmp_path):
    text = "case;score\n" + "".join(f"s{i:02d};{chance(i)}\n" for i in range(12))
    (tmp_path / "t.csv").write_text("﻿" + text)
    assert judge(tmp_path / "t.csv", stacks, tmp_path / "o").evaluation.n == 12


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda i: 4.0 * (i % 2) - 2, "logits"),
        (lambda i: 100 * chance(i), "per cent"),
        (lambda _: "malignant", "not probabilities"),
    ],
)
def test_what_are_no_probabilities(stacks, tmp_path, value, said):
    lines = [(f"s{i:02d}", value(i)) for i in range(12)]
    table = write_csv(tmp_path / "t.csv", ("case", "score"), lines)
    with pytest.raises(DatasetError, match=said):
        judge(table, stacks, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_scores_that_do_not_add_up(stacks, tmp_path):
    lines = [(f"s{i:02d}", 0.7, 0.8) for i in range(12)]
    table = write_csv(tmp_path / "t.csv", ("case", "benign", "malignant"), lines)
    with pytest.raises(DatasetError, match=r"add up to 1\.5"):
        judge(table, stacks, tmp_path / "o")


def test_a_case_twice_and_columns_that_are_not_there(stacks, tmp_path):
    lines = [(f"s{i:02d}", chance(i)) for i in range(12)]
    twice = write_csv(tmp_path / "a.csv", ("case", "score"), [*lines, ("images/s03.png", 0.5)])
    with pytest.raises(DatasetError, match="images/s03' has two predictions"):
        judge(twice, stacks, tmp_path / "o")
    with pytest.raises(DatasetError, match="No column names the case"):
        judge(write_csv(tmp_path / "b.csv", ("who", "score"), lines), stacks, tmp_path / "o")
    with pytest.raises(DatasetError, match="No column holds the probability of 'malignant'"):
        judge(write_csv(tmp_path / "c.csv", ("case", "benign"), lines), stacks, tmp_path / "o")
    foreign = write_csv(tmp_path / "d.csv", ("case", "score"), [("x1", 0.5)])
    with pytest.raises(DatasetError, match="None of the 1 predictions"):
        judge(foreign, stacks, tmp_path / "o")


def test_missing_cases_are_never_dropped_in_silence(stacks, tmp_path):
    lines = [(f"s{i:02d}", chance(i) if i != 4 else "") for i in range(11)]
    table = write_csv(tmp_path / "t.csv", ("case", "score"), [*lines, ("s77", 0.5)])
    with pytest.raises(DatasetError, match="2 of 12 cases have no usable prediction"):
        judge(table, stacks, tmp_path / "a")
    assert [r["file"] for r in rows(tmp_path / "a/rejected.csv")] == ["images/s04", "images/s11"]
    skipped = judge(table, stacks, tmp_path / "b", missing="skip")
    assert (skipped.evaluation.n, len(skipped.refused)) == (10, 2)
    wrong = judge(table, stacks, tmp_path / "c", missing="wrong")
    assert (wrong.evaluation.n, len(wrong.refused)) == (12, 0)
    failed = {r["case"]: r for r in rows(tmp_path / "c/predictions.csv") if r["failed"] == "1"}
    assert float(failed["images/s04"]["probability:benign"]) == 0
    assert float(failed["images/s11"]["probability:malignant"]) == 0
    auc = [done.evaluation.metrics["auc"].value for done in (wrong, skipped)]
    assert auc[0] < auc[1]
    for done in (skipped, wrong):
        assert any("s77" in note for note in done.notes)
    with pytest.raises(UsageError):
        judge(table, stacks, tmp_path / "d", missing="quietly")


def test_medmnist_without_a_header(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "m.npz",
        **{f"{s}_images": rng.integers(0, 255, (9, 8, 8), dtype=np.uint8) for s in ("val", "test")},
        **{f"{s}_labels": (np.arange(9) % 3)[:, None].astype(np.uint8) for s in ("val", "test")},
    )
    p = rng.dirichlet((1, 1, 1), 9)
    (tmp_path / "t.csv").write_text(
        "".join(f"{i},{','.join(f'{v:.6f}' for v in row)}\n" for i, row in enumerate(p))
    )
    done = judge(tmp_path / "t.csv", tmp_path / "m.npz", tmp_path / "o", "test")
    assert (done.evaluation.task, done.evaluation.n) == ("multiclass", 9)
    right = float((p.argmax(axis=1) == np.arange(9) % 3).mean())
    assert done.evaluation.metrics["accuracy"].value == pytest.approx(right)
    assert rows(tmp_path / "o/predictions.csv")[0]["case"] == "test/0"


# Masks.


def test_masks_of_a_folder(volumes, tmp_path):
    done = judge(volumes / "out", volumes / "set", tmp_path / "o")
    metrics = done.evaluation.metrics
    assert (done.evaluation.task, done.evaluation.n) == ("segmentation", 6)
    table = rows(tmp_path / "o/predictions.csv")
    assert [float(row["dice:front"]) for row in table] == pytest.approx([1, 5 / 6] * 3)
    assert metrics["dice:front"].value == pytest.approx(11 / 12)
    both = (metrics["dice:front"].value + metrics["dice:back"].value) / 2
    assert metrics["dice"].value == pytest.approx(both)
    assert table[1]["hd95:front"] == "1.0"
    assert float(table[0]["volume:front"]) == 4 * 36 * 2
    page = (tmp_path / "o/report.html").read_text()
    assert "front" in page
    assert ">c1<" not in page


def test_each_bad_mask_is_told(volumes, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    good = sitk.GetArrayFromImage(sitk.ReadImage(str(volumes / "out/c0.nii.gz")))
    write_volume(out / "c0.nii.gz", good)
    write_volume(out / "c1.nii.gz", good[:5])
    write_volume(out / "c2.nii.gz", good, origin=(3.0, 0.0, 0.0))
    write_volume(out / "c3.nii.gz", np.where(good == 2, 7, good).astype(np.uint8))
    write_volume(out / "c4.nii.gz", np.where(good > 0, np.nan, 0).astype(np.float32))
    write_volume(out / "c9.nii.gz", good)
    done = judge(out, volumes / "set", tmp_path / "o", missing="skip")
    assert done.evaluation.n == 1
    told = {row["file"]: row["problem"] for row in rows(tmp_path / "o/rejected.csv")}
    for case, word in {
        "c1": "voxels", "c2": "grid", "c3": "value 7", "c4": "", "c5": "no mask",
    }.items():  # fmt: skip
        assert word in told[case]
    assert any("c9" in note for note in done.notes)
    counted = judge(out, volumes / "set", tmp_path / "p", missing="wrong")
    assert counted.evaluation.n == 6
    assert counted.evaluation.settings["counted_as_failures"] == 5
    assert counted.evaluation.metrics["dice"].value == pytest.approx(1 / 6)
    with pytest.raises(DatasetError, match="5 of 6"):
        judge(out, volumes / "set", tmp_path / "q")


def test_two_masks_of_one_case(volumes, tmp_path):
    good = sitk.GetArrayFromImage(sitk.ReadImage(str(volumes / "out/c0.nii.gz")))
    write_volume(tmp_path / "c0.nii.gz", good)
    write_volume(tmp_path / "c0.mha", good)
    with pytest.raises(DatasetError, match="two predictions"):
        judge(tmp_path, volumes / "set", tmp_path / "o")


def test_png_masks_of_0_and_255(tmp_path):
    place = tmp_path / "set"
    lines = []
    for i in range(4):
        image = np.full((24, 24, 3), 40 * i, np.uint8)
        mask = np.zeros((24, 24), np.uint8)
        mask[4:14, 4:14] = 255
        found = np.roll(mask, i, axis=0)
        for folder, values in (("img", image), ("mask", mask), ("found", found)):
            target = (place if folder != "found" else tmp_path) / folder
            target.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(target / f"r{i}.png")
        lines.append((f"img/r{i}.png", f"mask/r{i}.png"))
    write_csv(place / "labels.csv", ("file", "mask"), lines)
    done = judge(tmp_path / "found", place, tmp_path / "o")
    found = [float(row["dice:mask"]) for row in rows(tmp_path / "o/predictions.csv")]
    assert found == pytest.approx([1 - i / 10 for i in range(4)])
    assert done.evaluation.settings["unit"] == "px"
    table = rows(tmp_path / "o/predictions.csv")
    assert float(table[2]["hd95:mask"]) == pytest.approx(2)


def test_wrong_kinds(volumes, stacks, tmp_path):
    with pytest.raises(DatasetError, match="none to judge them by"):
        judge(volumes / "out", stacks, tmp_path / "o")
    table = write_csv(tmp_path / "t.csv", ("case", "score"), [("c0", 0.5)])
    with pytest.raises(DatasetError, match="no labels"):
        judge(table, volumes / "set", tmp_path / "o")
    with pytest.raises(DatasetError, match="--split all"):
        judge(volumes / "out", volumes / "set", tmp_path / "o", "test")
    with pytest.raises(EmptyInput):
        judge(tmp_path / "absent", volumes / "set", tmp_path / "o")
    with pytest.raises(UsageError):
        judge(volumes / "out", volumes / "set", volumes / "out")
    with pytest.raises(UsageError):
        judge(volumes / "out", volumes / "set", volumes / "set")


# Names.

NAME = st.text("abc_.-0123", min_size=1, max_size=6).filter(lambda t: set(t) - set(". "))


@given(
    st.lists(st.tuples(NAME, NAME), min_size=1, max_size=6, unique=True),
    st.sampled_from(["", ".nii.gz", ".png", "_0000.mha"]),
    st.sampled_from(["", "deep/er/", "C:\\out\\"]),
)
def test_a_whole_name_is_always_its_own_case(parts, ending, before):
    cases = [f"{folder}/{name}" for folder, name in parts]
    names = [f"{before}{case}{ending}" for case in cases]
    matched = match_names(names, cases, [True] * len(cases))
    for name, case in matched.case.items():
        stem = cases[case].rpartition("/")[2]
        assert stem.partition(".")[0].removesuffix("_0000") in names[name]
    if not ending and not before:
        bare = {c.removesuffix("_0000").rpartition(".")[0] or c for c in cases}
        if len(bare) == len(cases):
            assert all(matched.case.get(i, i) == i for i in range(len(cases)))


def test_names_of_another_split_are_not_taken_for_this_one():
    cases = ["train/1", "train/2", "val/1", "val/2"]
    chosen = [False, False, True, True]
    matched = match_names(["val/1", "train/2", "2", "9"], cases, chosen)
    assert matched.case == {0: 2, 2: 3}
    assert matched.elsewhere == ("train/2",)
    assert matched.unknown == ("9",)
    assert match_names(["img"], ["a/img", "b/img"], [True, True]).ambiguous == ("img",)


def test_our_own_masks_are_judged_as_the_bundle_itself(segments, tmp_path):
    """Masks that ``predict`` wrote, read back, give what ``evaluate`` said of the bundle."""
    data = tmp_path / "set"
    for folder in ("images", "masks"):
        (data / folder).mkdir(parents=True)
    lines = []
    for k in range(5):
        image, truth = segments.ring_image((10, 24, 26), seed=k)
        write_volume(data / f"images/c{k}.nii.gz", image)
        write_volume(data / f"masks/c{k}.nii.gz", np.roll(truth, k, axis=1))
        lines.append((f"images/c{k}.nii.gz", f"masks/c{k}.nii.gz"))
    write_csv(data / "labels.csv", ("file", "mask"), lines)
    (data / "labels.json").write_text('{"rim": 1, "core": 2}')
    rings = segments.write_rings(tmp_path / "rings")
    ours = batch.evaluate(rings, data, "all", tmp_path / "a", rounds=50)
    drawing = batch.Drawing(masks=tmp_path / "out")
    batch.predict(rings, [data], tmp_path / "p.csv", drawing=drawing)
    theirs = judge(tmp_path / "out", data, tmp_path / "b")
    assert theirs.evaluation.metrics == ours.evaluation.metrics
    assert theirs.evaluation.metrics["dice"].value < 1


@pytest.mark.parametrize(
    ("classes", "positive"),
    [
        (("malignant", "normal"), "malignant"),
        (("covid", "normal"), "covid"),
        (("Benign", "atypical"), "atypical"),
        (("良性", "恶性"), "恶性"),
        (("0", "1"), "1"),
        (("a", "b"), None),
        (("no", "none"), None),
    ],
)
def test_the_positive_class_is_told_by_either_name(classes, positive):
    assert likely_positive(classes) == positive
    assert likely_positive(classes[::-1]) == positive
