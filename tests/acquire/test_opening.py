"""Which kind of data set or input a path is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diaphane.acquire import open_dataset, open_inputs
from diaphane.core import errors


def picture(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5), value, np.uint8)).save(path)
    return path


def names(dataset):
    return [entry.name for entry in dataset]


def test_class_folders(tmp_path):
    for label in ("healthy", "ill"):
        for index in (1, 2, 10):
            picture(tmp_path / label / f"{index}.png", index)
    dataset = open_dataset(tmp_path)
    assert dataset.kind == "class_folders"
    assert dataset.classes == {"label": ("healthy", "ill")}
    assert names(dataset)[:3] == ["healthy/1.png", "healthy/2.png", "healthy/10.png"]
    assert dataset.entries[3].load().labels == {"label": "ill"}
    assert not dataset.has_splits


def test_class_folders_below_splits(tmp_path):
    for split in ("train", "valid", "test"):
        for label in ("a", "b"):
            picture(tmp_path / split / label / "1.png")
    dataset = open_dataset(tmp_path)
    assert dataset.classes == {"label": ("a", "b")}
    assert {e.split for e in dataset} == {"train", "val", "test"}


def test_stacks_in_class_folders(tmp_path):
    for index in range(3):
        picture(tmp_path / "a" / "case1" / f"{index}.png")
        picture(tmp_path / "b" / "case2" / f"{index}.png")
    stacked = open_dataset(tmp_path)
    assert names(stacked) == ["a/case1", "b/case2"]
    assert stacked.entries[0].load().volume.shape == (3, 4, 5)
    single = open_dataset(tmp_path, stack=False)
    assert len(single) == 6
    assert len({e.group for e in single}) == 2


def test_raw_dicom_trains_as_it_is(dicom, tmp_path):
    dicom.series(tmp_path / "p1" / "a")

    def follow_up(data, _):
        data.SeriesInstanceUID, data.SeriesNumber = "1.2.3.4.5", 5

    def stranger(data, _):
        data.SeriesInstanceUID, data.PatientID = "1.2.3.4.6", "other"

    dicom.series(tmp_path / "p1" / "b", change=follow_up)
    dicom.series(tmp_path / "p2", change=stranger)
    (tmp_path / "readme.txt").write_text("words")
    dataset = open_dataset(tmp_path)
    assert dataset.kind == "dicom"
    assert len(dataset) == 3
    groups = {entry.name: entry.group for entry in dataset}
    assert len(set(groups.values())) == 2
    assert all(group.startswith("P-") for group in groups.values())
    case = dataset.entries[0].load()
    assert case.volume.unit == "HU"
    assert "NHS-1820" not in f"{case!r}{dataset!r}"


def test_refused_series_fail_when_they_are_loaded(dicom, tmp_path):
    dicom.series(tmp_path / "good")

    def other(data, _):
        data.SeriesInstanceUID = "1.2.3.4.5"

    dicom.series(tmp_path / "gap", change=other, skip=(2,))
    dataset = open_inputs([tmp_path], sequences=True)
    assert len(dataset) == 2
    loaded = []
    for entry in dataset:
        try:
            loaded.append(entry.load())
        except errors.MissingSlice:
            assert "gap" in entry.name
    assert len(loaded) == 1


def test_folder_is_a_stack_where_the_bundle_takes_sequences(tmp_path):
    for index in range(3):
        picture(tmp_path / "s" / f"{index}.png", index)
    folder = tmp_path / "s"
    assert names(open_inputs([folder], sequences=True)) == [str(folder)]
    assert open_inputs([folder], sequences=True).entries[0].load().volume.shape == (3, 4, 5)
    assert len(open_inputs([folder], sequences=False)) == 3
    assert len(open_inputs([folder], sequences=True, stack=False)) == 3
    assert len(open_inputs([folder], sequences=False, stack=True)) == 1


def test_folder_of_stacks_is_a_case_each(tmp_path):
    for case in ("n1", "n2", "n10"):
        picture(tmp_path / case / "0.png")
    dataset = open_inputs([tmp_path], sequences=True)
    assert names(dataset) == [str(tmp_path / n) for n in ("n1", "n2", "n10")]


def test_names_are_as_typed(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    picture(tmp_path / "f" / "b.png")
    monkeypatch.chdir(tmp_path)
    assert names(open_inputs(["a.png", "f"], sequences=False)) == ["a.png", "f/b.png"]


def test_dicom_study_names(dicom, tmp_path, monkeypatch):
    dicom.series(tmp_path / "study" / "one")
    monkeypatch.chdir(tmp_path)
    assert names(open_inputs(["study"], sequences=True)) == ["study"]

    def other(data, _):
        data.SeriesInstanceUID, data.SeriesNumber = "1.2.3.4.5", 5

    dicom.series(tmp_path / "study" / "two", change=other)
    assert names(open_inputs(["study"], sequences=True)) == ["study/one#4", "study/two#5"]


def test_one_bad_input_among_several(tmp_path):
    good = picture(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    dataset = open_inputs([good, tmp_path / "nowhere", tmp_path / "empty"], sequences=False)
    assert len(dataset) == 3
    assert dataset.entries[0].load().volume.shape == (1, 4, 5)
    for entry in dataset.entries[1:]:
        with pytest.raises(errors.EmptyInput):
            entry.load()


@pytest.mark.parametrize("opener", [open_dataset, lambda p: open_inputs([p], sequences=True)])
def test_nothing_there(tmp_path, opener):
    with pytest.raises(errors.EmptyInput):
        opener(tmp_path / "nowhere")
    with pytest.raises(errors.EmptyInput):
        opener(tmp_path)
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(errors.EmptyInput, match="other kinds: 1"):
        opener(tmp_path)


def test_no_inputs():
    with pytest.raises(errors.EmptyInput):
        open_inputs([], sequences=True)


def test_a_picture_is_no_data_set(tmp_path):
    with pytest.raises(errors.DatasetError):
        open_dataset(picture(tmp_path / "a.png"))


def test_order_does_not_depend_on_the_key(tmp_path, monkeypatch):
    for index in range(6):
        picture(tmp_path / "x" / f"{index}.png")
        picture(tmp_path / "y" / f"{index}.png")
    seen = []
    for home in ("h1", "h2"):
        monkeypatch.setenv("DIAPHANE_HOME", str(tmp_path.parent / home))
        dataset = open_dataset(tmp_path)
        seen.append((names(dataset), [e.key for e in dataset]))
    assert seen[0][0] == seen[1][0]
    assert not set(seen[0][1]) & set(seen[1][1])


def test_masks_beside_images_are_no_cases(tmp_path):
    for label in ("benign", "normal"):
        for name in ("x (1)", "x (1)_mask", "x (1)_mask_1", "x (2)", "lonely_mask"):
            picture(tmp_path / label / f"{name}.png")
    dataset = open_dataset(tmp_path)
    assert names(dataset)[:3] == ["benign/lonely_mask.png", "benign/x (1).png", "benign/x (2).png"]
    assert len(dataset) == 6
    assert "4 files are masks" in dataset.notes[0]


@pytest.mark.parametrize("folders", [("images", "masks"), ("Image", "Ground Truth", "other")])
def test_images_and_their_masks_are_no_classes(tmp_path, folders):
    for folder in folders:
        picture(tmp_path / "train" / folder / "1.png")
    with pytest.raises(errors.DatasetError, match="their masks, no classes"):
        open_dataset(tmp_path)
