"""What is said of a dataset before anything learns from it."""

from __future__ import annotations

import csv
import io
import json

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy import ndimage

from diaphane.acquire import open_dataset
from diaphane.core.errors import DatasetError, PlanError, UsageError
from diaphane.learn.duplicates import join_groups
from diaphane.learn.fingerprint import fingerprint
from diaphane.learn.leaks import keep_together, warnings
from diaphane.learn.looking import thickness_of
from diaphane.learn.planning import named, plan, plan_of
from diaphane.learn.tasks import grade_of


def picture(seed, side=96):
    """A textured image in a frame that all of them share."""
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.normal(size=(side, side)), side / 16)
    fine = ndimage.gaussian_filter(random.normal(size=(side, side)), 1.0)
    values = 110 + 40 * smooth / smooth.std() + 18 * fine / fine.std()
    grid = np.hypot(*np.meshgrid(*[np.linspace(-1, 1, side)] * 2))
    values[grid > 0.95] = 0
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def compressed(image):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    return Image.open(stream)


COPIES = {
    "compressed": compressed,
    "smaller": lambda image: image.resize((60, 60)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
    "contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.6),
    "colour": lambda image: image.convert("RGB"),
    "noisy": lambda image: Image.fromarray(
        np.clip(np.asarray(image) + np.random.default_rng(0).normal(0, 4, image.size), 0, 255)
        .astype(np.uint8)
    ),
}  # fmt: skip


def write_table(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def write_pictures(folder, count=24, side=96, **columns):
    """Pictures with labels a and b in turn; ``columns`` are functions of the number."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(count):
        picture(number, side).save(folder / f"p{number // 2:02d}_{number % 2}.png")
        row = {"file": f"p{number // 2:02d}_{number % 2}.png", "label": "ab"[number // 2 % 2]}
        rows.append(row | {name: value(number) for name, value in columns.items()})
    return write_table(folder, rows)


@pytest.mark.parametrize("side", [28, 96])
def test_copies_are_found_and_strangers_are_not(tmp_path, side):
    folder = write_pictures(tmp_path / "set", 30, side)
    before, _ = fingerprint(open_dataset(folder))
    assert (before.duplicates, before.near_duplicates) == ((), ())
    with (folder / "labels.csv").open("a") as file:
        for number, (name, copy) in enumerate(COPIES.items()):
            if side == 28 and name == "smaller":
                continue
            copy(picture(number, side)).save(folder / f"{name}.png")
            file.write(f"{name}.png,{'ab'[number // 2 % 2]}\n")
    dataset = open_dataset(folder)
    facts, _ = fingerprint(dataset)
    names = {entry.key: entry.name for entry in dataset.entries}
    found = {frozenset((names[t.one], names[t.other])) for t in facts.near_duplicates}
    made = [n for n in COPIES if side != 28 or n != "smaller"]
    assert found == {
        frozenset((f"p{i // 2:02d}_{i % 2}.png", f"{name}.png"))
        for i, name in enumerate(COPIES)
        if name in made
    }
    assert "in different groups" in " ".join(warnings(facts))


def test_copies_of_volumes_are_found(tmp_path):
    random = np.random.default_rng(0)
    volumes = [ndimage.gaussian_filter(random.normal(size=(10, 30, 30)), 1.5) for _ in range(22)]
    volumes.append(volumes[3] * 4 + random.normal(0, 0.01, (10, 30, 30)))
    volumes.append(volumes[5])
    np.savez(
        tmp_path / "deep.npz",
        train_images=np.stack(volumes).astype(np.float32),
        train_labels=np.arange(24) % 2,
    )
    facts, _ = fingerprint(open_dataset(tmp_path / "deep.npz"))
    assert facts.slices["median"] == 10
    assert len(facts.duplicates) == len(facts.near_duplicates) == 1
    assert facts.near_duplicates[0].alike < 1


def test_duplicates_across_splits_and_with_other_labels_are_said(tmp_path):
    folder = write_pictures(tmp_path / "set", 12, 32, split=lambda n: "train" if n < 8 else "val")
    (folder / "p05_1.png").write_bytes((folder / "p00_0.png").read_bytes())
    made = plan(folder, tmp_path / "out", threads=1, estimated=False)
    (twin,) = made.fingerprint.duplicates
    assert twin.crosses
    assert not twin.same_label
    said = " ".join(named(line, made.names) for line in made.said)
    assert "under different labels" in said
    assert "in different splits" in said
    assert "p00_0.png" in said
    for file in ("fingerprint.json", "plan.yaml"):
        assert "p00" not in (tmp_path / "out" / file).read_text()
    assert not any("p00" in line for line in made.said)


def test_found_copies_are_kept_together_within_a_split(tmp_path):
    folder = write_pictures(tmp_path / "set", 12, 32)
    (folder / "p05_1.png").write_bytes((folder / "p00_0.png").read_bytes())
    dataset = open_dataset(folder)
    facts, _ = fingerprint(dataset)
    assert keep_together(dataset, tmp_path / "none.json") is dataset
    facts.write(tmp_path / "fingerprint.json")
    joined = keep_together(dataset, tmp_path / "fingerprint.json")
    assert joined.entries[0].group == joined.entries[-1].group
    assert len({entry.group for entry in joined.entries}) == len(dataset) - 1


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 12)), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_joined_groups_hold_their_groups_and_their_doubles(rows):
    groups, digests = [f"g{g}" for g, _ in rows], [f"d{d}" for _, d in rows]
    joined = join_groups(groups, digests)
    for values in (groups, digests):
        for value in set(values):
            assert len({j for j, v in zip(joined, values, strict=True) if v == value}) == 1
    assert set(joined) <= set(groups)
    assert join_groups(joined, digests) == joined


def test_groups_from_names(tmp_path):
    folder = write_pictures(tmp_path / "set", 12, 32)
    plain = plan(folder, threads=1, estimated=False)
    assert any("--group-regex" in line for line in plain.said)
    made = plan(folder, threads=1, estimated=False, group_regex=r"^(p\d+)_")
    assert (made.fingerprint.cases, made.fingerprint.groups) == (12, 6)
    assert not any("--group-regex" in line for line in made.said)
    assert made.plan.group_regex == r"^(p\d+)_"
    assert len({e.group for e in open_dataset(folder, group_regex=r"^p\d+").entries}) == 6
    with pytest.raises(DatasetError, match=r"10 of 12 names: p01_0.png, p01_1.png"):
        open_dataset(folder, group_regex="^p00")
    with pytest.raises(UsageError, match="regular expression"):
        open_dataset(folder, group_regex="(")


def test_a_group_from_names_never_crosses_splits(tmp_path):
    folder = write_pictures(tmp_path / "set", 8, 32, split=lambda n: ("train", "val")[n % 2])
    with pytest.raises(DatasetError, match="'p00' is in both"):
        open_dataset(folder, group_regex=r"^(p\d+)_")


def test_concepts_enter_when_named_and_leaks_are_said(tmp_path):
    random = np.random.default_rng(0)
    folder = write_pictures(
        tmp_path / "set", 24, 32,
        **{
            "concept:age": lambda _: round(random.normal(60, 9), 1),
            "concept:stage": lambda n: n // 2 % 2 + random.uniform(0, 0.5),
            "concept:lab": lambda n: random.normal() if n // 2 % 2 else "",
        },
    )  # fmt: skip
    made = plan(folder, threads=1, estimated=False)
    assert made.plan.input.given_concepts == ()
    leaks = [line for line in made.said if "probably a leak" in line]
    assert [any(f"'{name}'" in line for line in leaks) for name in ("stage", "lab", "age")] == [
        True, True, False,
    ]  # fmt: skip
    asked = plan(folder, threads=1, estimated=False, concepts=("age", "lab")).plan
    assert asked.input.given_concepts == ("age", "lab")
    assert asked.concept_fit.first
    with pytest.raises(UsageError, match=r"no concept 'weight'.*age, lab, stage"):
        plan(folder, threads=1, concepts=("weight",))


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["0", "1", "2", "10"], ["0", "1", "2", "10"]),
        (["grade 2", "grade 1", "grade 3"], ["grade 1", "grade 2", "grade 3"]),
        (["IV", "I", "II", "III"], ["I", "II", "III", "IV"]),
        (["severe", "mild", "none", "moderate"], ["none", "mild", "moderate", "severe"]),
    ],
)
def test_grades_are_told_by_their_names(tmp_path, names, ordered):
    for name in names:
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(3):
            image = picture(len(name) * 7 + number + 31 * names.index(name), 16)
            image.save(tmp_path / "set" / name / f"{number}.png")
    made = plan(tmp_path / "set", threads=1, estimated=False).plan
    assert made.ordinal
    assert list(made.classes["label"]) == ordered


def test_codes_of_an_archive_are_no_grades(tmp_path):
    assert grade_of("adenoma") is None
    assert grade_of("class 3") is None
    np.savez(
        tmp_path / "codes.npz",
        train_images=np.random.default_rng(0).integers(0, 255, (20, 16, 16, 4)).astype(np.uint8),
        train_labels=np.arange(20) % 4,
    )
    made = plan(tmp_path / "codes.npz", threads=1, estimated=False).plan
    assert not made.ordinal
    assert made.input.channels == 4
    assert made.input.kind == "image"


def test_a_class_of_one_case(tmp_path):
    two = write_table(
        write_pictures(tmp_path / "two", 8, 16),
        [{"file": f"p{n // 2:02d}_{n % 2}.png", "label": "b" if n == 0 else "a"} for n in range(8)],
    )
    with pytest.raises(DatasetError, match=r"'b'.*one patient only"):
        plan(two, threads=1)
    three = write_table(
        two,
        [
            {"file": f"p{n // 2:02d}_{n % 2}.png", "label": "cab"[min(n, 1 + n % 2)]}
            for n in range(8)
        ],
    )
    made = plan(three, threads=1, estimated=False)
    assert any("'c' of 'label' has 1 case; it is learnt from" in line for line in made.said)


def write_masked(folder, masks, **about):
    """An nnU-Net folder of 6 small volumes with these masks."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for number, mask in enumerate(masks):
        image = random.normal(size=(12, 14, 6)).astype(np.float32)
        nibabel.save(
            nibabel.Nifti1Image(image, np.diag([1.0, 1.0, 4.0, 1.0])),
            folder / "imagesTr" / f"c{number}_0000.nii.gz",
        )
        affine = np.diag([1.0, 1.0, 4.0 if number != 4 else 2.0, 1.0])
        nibabel.save(
            nibabel.Nifti1Image(mask.astype(np.uint8), affine),
            folder / "labelsTr" / f"c{number}.nii.gz",
        )
    labels = {"background": 0, "vessel": 1, "organ": 2}
    (folder / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "MRI"}, "labels": labels, "file_ending": ".nii.gz"})
    )
    return folder


def test_masks_are_measured_and_wrong_ones_refused(tmp_path):
    masks = [np.zeros((12, 14, 6)) for _ in range(6)]
    for mask in masks[:2]:
        mask[3, :, 2] = 1
        mask[6:11, 2:9, 1:5] = 2
    masks[3][0, 0, 0] = 7  # no such label
    masks[5] = np.zeros((12, 14, 5))  # another shape; number 4 has another affine
    dataset = open_dataset(write_masked(tmp_path / "set", masks))
    facts, refused = fingerprint(dataset)
    assert [case.name for case in refused] == ["c3", "c4", "c5"]
    assert {key for key, _ in facts.unreadable} == {e.key for e in dataset.entries[3:]}
    assert {code for _, code in facts.unreadable} == {"DatasetError"}
    found = facts.segmentation
    assert found.labels == {"vessel": 1, "organ": 2}
    assert found.cases == {"vessel": 2, "organ": 2}
    assert found.voxels == {"vessel": 14.0, "organ": 140.0}
    assert found.thickness["vessel"] == 1.0
    assert found.thickness["organ"] > 2.0
    assert found.empty == 1
    assert found.anisotropy == pytest.approx(4.0)
    made, _ = plan_of(facts)
    assert made.task == "segmentation"
    with pytest.raises(PlanError, match="masks only"):
        plan_of(facts, positive="vessel")


@given(st.integers(1, 9), st.integers(12, 30))
@settings(max_examples=25, deadline=None)
def test_thickness_is_the_width_of_a_band(width, length):
    band = np.zeros((1, width + 6, length + 20), dtype=bool)
    band[0, 3 : 3 + width, 5 : 5 + 6 * length] = True
    assert thickness_of(band) == pytest.approx(width, abs=1.01)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_set_without_a_part_to_learn_from(tmp_path, split):
    folder = write_pictures(tmp_path / "set", 6, side=16, split=lambda _: split)
    with pytest.raises(DatasetError, match=f"'train', all are in {split}"):
        plan(folder, estimated=False)


def test_masks_that_some_cases_lack_are_said(tmp_path):
    folder = write_pictures(
        tmp_path / "set", 8, side=16, mask=lambda n: "" if n == 3 else f"m{n}.png"
    )
    for number in range(8):
        mask = np.zeros((16, 16), np.uint8)
        mask[4:9, 4:9] = 255 * (number != 5)
        Image.fromarray(mask).save(folder / f"m{number}.png")
    said = plan(folder, estimated=False).said
    assert any("2 of 8 cases have no mask, or an empty one" in line for line in said)
    table = (folder / "labels.csv").read_text().replace("label", "reader")
    (folder / "labels.csv").write_text(table)
    said = plan(folder, estimated=False).said
    assert any("1 cases have an empty mask" in line for line in said)
    assert any("1 cases have no mask and are left out" in line for line in said)


def test_labels_of_one_class_each_are_said(tmp_path):
    columns = {f"label:{name}": lambda n, k=k: int(n % 3 == k) for k, name in enumerate("xyz")}
    folder = write_pictures(tmp_path / "set", 9, side=16, **columns)
    table = (folder / "labels.csv").read_text().replace("label,", "reader,", 1)
    (folder / "labels.csv").write_text(table)
    made = plan(folder, estimated=False)
    assert made.plan.task == "multilabel"
    assert any("just one of the 3 labels" in line for line in made.said)


def test_empty_masks_teach_nothing(tmp_path):
    dataset = open_dataset(write_masked(tmp_path / "set", [np.zeros((12, 14, 6))] * 6))
    with pytest.raises(DatasetError, match="All masks are empty"):
        plan_of(fingerprint(dataset)[0])


def test_images_of_a_case_on_different_grids_are_refused_before_training(tmp_path):
    folder = write_pictures(tmp_path / "set", 8, side=16, **{"file:side": lambda n: f"s{n}.png"})
    for number in range(8):
        picture(number, 16 if number else 20).save(folder / f"s{number}.png")
    made = plan(folder, estimated=False)
    assert made.plan.input.channels == 2
    assert [case.error.problem for case in made.refused] == [
        "The case's images are on different grids: 1 x 16 x 16, 1 x 20 x 20."
    ]
