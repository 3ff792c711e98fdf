"""DICOM masks as the masks of a data set, and as ``info`` tells of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from diaphane.acquire import describe, open_dataset
from diaphane.core import errors
from drawing import sources, write_contours, write_seg

SHAPE = (4, 8, 10)


@pytest.fixture
def folder(dicom, tmp_path):
    """Two cases, a CT series each, whose SEG has the columns below 3 or 5."""
    lines = ["file,mask"]
    for case, width in (("a", 3), ("b", 5)):
        dicom.series(tmp_path / case / "ct", count=SHAPE[0], shape=SHAPE[1:])
        mask = np.zeros((*SHAPE, 2), bool)
        mask[1, :, :width, 0] = True
        mask[2, :, 7, 1] = True
        write_seg(sources(tmp_path / case / "ct"), mask, tmp_path / case / "seg.dcm")
        lines.append(f"{case}/ct,{case}/seg.dcm")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


def test_segments_are_the_labels_of_a_manifest(folder):
    dataset = open_dataset(folder)
    assert dataset.mask_labels == {1: "1", 2: "2"}
    first, second = (entry.load() for entry in dataset)
    assert (first.mask.voxels == 1).sum() == 3 * SHAPE[1]
    assert (second.mask.voxels == 1).sum() == 5 * SHAPE[1]
    assert (second.mask.voxels == 2).sum() == SHAPE[1]
    assert first.mask.geometry == first.volume.geometry


def test_names_choose_segments_by_code_or_label(folder):
    (folder / "labels.json").write_text(json.dumps({"5": "liver structure"}))
    mask = open_dataset(folder).entries[0].load().mask
    assert np.unique(mask.voxels).tolist() == [0, 5]
    assert (mask.voxels == 5).sum() == SHAPE[1]


def test_contours_in_a_folder_of_their_own(folder, dicom):
    square = [[-10, -20, 2.5], [-7.5, -20, 2.5], [-7.5, -18.6, 2.5], [-10, -18.6, 2.5]]
    frame = dicom.image().FrameOfReferenceUID
    regions = {"BODY": [square], "gtv": [square]}
    (folder / "a" / "rt").mkdir()
    write_contours(folder / "a" / "rt" / "x.dcm", regions, frame=frame)
    (folder / "labels.csv").write_text("file,mask\na/ct,a/rt\n")
    (folder / "labels.json").write_text(json.dumps({"GTV": 1}))
    mask = open_dataset(folder).entries[0].load().mask
    assert mask.voxels[1].any()
    assert not mask.voxels[[0, 2, 3]].any()
    (folder / "labels.json").unlink()
    with pytest.raises(errors.DatasetError, match="overlap"):
        open_dataset(folder).entries[0].load()


def test_mask_of_another_scan_is_refused(folder, dicom):
    def frame(data, _):
        data.FrameOfReferenceUID = "1.2.3"

    dicom.series(folder / "c", count=SHAPE[0], shape=SHAPE[1:], change=frame)
    (folder / "labels.csv").write_text("file,mask\nc,a/seg.dcm\n")
    with pytest.raises(errors.GeometryError, match="frame of reference"):
        open_dataset(folder).entries[0].load()


def test_info_tells_codes_and_never_what_a_person_typed(folder, dicom):
    square = [[-10, -20, 2.5], [-7.5, -20, 2.5], [-7.5, -18.6, 2.5]]
    regions = {"Nightingale": [square], "PTV left": [square], "F.N. 1820": [square]}
    write_contours(folder / "a" / "rt.dcm", regions, frame="1.2")
    found = describe(folder / "a")
    assert len(found["series"]) == 1
    assert found["masks"] == [
        {
            "modality": "RTSTRUCT",
            "kind": "contours",
            "segments": 3,
            "names": {"other": 2, "PTV left": 1},
        },
        {
            "modality": "SEG",
            "kind": "binary",
            "segments": 2,
            "names": {"Bone structure": 1, "Liver structure": 1},
        },
    ]
    assert "ightingale" not in str(found)
    alone = describe(folder / "a" / "seg.dcm")
    assert alone["series"] == []
    assert len(alone["masks"]) == 1
