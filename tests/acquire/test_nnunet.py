"""MSD and nnU-Net folders, v1 and v2."""

from __future__ import annotations

import json
import shutil

import nibabel
import numpy as np
import pytest
from PIL import Image

from diaphane.acquire import open_dataset, open_inputs
from diaphane.core import errors


def nifti(path, value, shape=(4, 5, 6), dtype=np.uint8):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.zeros(shape, dtype)
    data[1:3, 1:3, 1:3] = value
    nibabel.save(nibabel.Nifti1Image(data, np.diag([1, 2, 3, 1.0])), path)


def msd(folder, **changes):
    for name in ("a", "b", "c"):
        nifti(folder / "imagesTr" / f"{name}.nii.gz", 50)
        nifti(folder / "labelsTr" / f"{name}.nii.gz", 2)
    plan = {
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "liver", "2": "tumour"},
        "training": [
            {"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"}
            for n in ("a", "b", "c")
        ],
        "test": ["./imagesTs/z.nii.gz"],
        **changes,
    }
    (folder / "dataset.json").write_text(json.dumps(plan))
    return folder


def nnunet(folder, ending=".nii.gz", channels=("T1", "FLAIR"), **changes):
    for name in ("p1_1", "p1_2", "p2_1"):
        for index in range(len(channels)):
            path = folder / "imagesTr" / f"{name}_{index:04d}{ending}"
            if ending == ".png":
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((4, 5), index, np.uint8)).save(path)
            else:
                nifti(path, 10 + index)
        mask = folder / "labelsTr" / f"{name}{ending}"
        if ending == ".png":
            mask.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.eye(4, 5, dtype=np.uint8)).save(mask)
        else:
            nifti(mask, 1)
    plan = {
        "channel_names": {str(i): c for i, c in enumerate(channels)},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": 3,
        "file_ending": ending,
        **changes,
    }
    (folder / "dataset.json").write_text(json.dumps(plan))
    return folder


def refusal(folder):
    with pytest.raises(errors.DatasetError) as caught:
        open_dataset(folder)
    return str(caught.value)


def test_decathlon(tmp_path):
    dataset = open_dataset(msd(tmp_path))
    assert dataset.kind == "nnunet"
    assert [e.name for e in dataset] == ["a", "b", "c"]
    assert dataset.mask_labels == {1: "liver", 2: "tumour"}
    case = dataset.entries[0].load()
    assert case.volume.modality == "CT"
    assert case.volume.unit == "HU"
    assert case.mask.voxels.max() == 2
    assert case.mask.geometry == case.volume.geometry
    assert not dataset.has_splits


def test_decathlon_with_channels_in_one_file(tmp_path):
    folder = msd(tmp_path, modality={"0": "FLAIR", "1": "T1w"})
    nifti(folder / "imagesTr" / "a.nii.gz", 3, (4, 5, 6, 2))
    dataset = open_dataset(folder)
    assert dataset.entries[0].load().volume.voxels.shape == (2, 6, 5, 4)


def test_first_nnunet_format(tmp_path):
    folder = msd(tmp_path)
    for path in sorted((folder / "imagesTr").iterdir()):
        path.rename(path.with_name(path.name.replace(".nii", "_0000.nii")))
    nifti(folder / "imagesTs" / "z_0000.nii.gz", 9)
    nifti(folder / "labelsTs" / "z.nii.gz", 1)
    dataset = open_dataset(folder)
    assert [e.name for e in dataset] == ["a", "b", "c", "z"]
    assert [e.split for e in dataset] == ["train", "train", "train", "test"]
    assert dataset.entries[3].load().volume.voxels.max() == 9
    (folder / "imagesTr" / "b_0000.nii.gz").unlink()
    assert "is not there" in refusal(folder)


def test_channels_on_two_grids(tmp_path):
    folder = nnunet(tmp_path)
    nifti(folder / "imagesTr" / "p1_1_0001.nii.gz", 5, (4, 5, 7))
    with pytest.raises(errors.DatasetError, match="different grids"):
        open_dataset(folder).entries[0].load()


def test_channels_in_files(tmp_path):
    dataset = open_dataset(nnunet(tmp_path))
    assert [e.name for e in dataset] == ["p1_1", "p1_2", "p2_1"]
    case = dataset.entries[0].load()
    assert list(case.volumes) == ["T1", "FLAIR"]
    assert case.volumes["FLAIR"].voxels.max() == 11
    assert case.volumes["T1"].modality == "MR"
    assert dataset.mask_labels == {1: "lesion"}


def test_pictures(tmp_path):
    dataset = open_dataset(nnunet(tmp_path, ending=".png", channels=("grey",)))
    case = dataset.entries[0].load()
    assert case.volume.shape == (1, 4, 5)
    assert case.mask.voxels.sum() == 4


def test_image_folder_alone(tmp_path):
    folder = nnunet(tmp_path)
    dataset = open_inputs([folder / "imagesTr"], sequences=True)
    assert dataset.kind == "nnunet"
    assert len(dataset) == 3
    (folder / "dataset.json").unlink()
    case = open_inputs([folder / "imagesTr"], sequences=True).entries[0].load()
    assert list(case.volumes) == ["0000", "0001"]


def test_image_folder_of_a_decathlon_without_the_rest(tmp_path):
    folder = msd(tmp_path)
    (folder / "imagesTr").rename(folder / "imagesTs")
    shutil.rmtree(folder / "labelsTr")
    dataset = open_inputs([folder / "imagesTs"], sequences=True)
    assert [(e.name, e.split, e.has_mask) for e in dataset] == [
        (name, "test", False) for name in "abc"
    ]
    assert dataset.entries[0].load().volume.modality == "CT"


def test_test_cases_are_the_split_test(tmp_path):
    folder = nnunet(tmp_path, channels=("CT",))
    nifti(folder / "imagesTs" / "q_0000.nii.gz", 5)
    nifti(folder / "labelsTs" / "q.nii.gz", 1)
    nifti(folder / "imagesTs" / "r_0000.nii.gz", 5)
    dataset = open_dataset(folder)
    assert {e.name: e.split for e in dataset}["q"] == "test"
    assert "r" not in {e.name for e in dataset}
    assert "r" in {e.name for e in open_inputs([folder], sequences=True)}


def test_splits_and_groups(tmp_path):
    folder = nnunet(tmp_path)
    folds = [
        {"train": ["p1_1", "p1_2"], "val": ["p2_1"]},
        {"train": ["p2_1"], "val": ["p1_1", "p1_2"]},
    ]
    (folder / "splits_final.json").write_text(json.dumps(folds))
    (folder / "groups.csv").write_text("case,group\np1_1,p1\np1_2,p1\np2_1,p2\n")
    dataset = open_dataset(folder)
    assert [e.split for e in dataset] == ["train", "train", "val"]
    assert dataset.folds[1] == (frozenset({"p2_1"}), frozenset({"p1_1", "p1_2"}))
    groups = [e.group for e in dataset]
    assert groups[0] == groups[1] != groups[2]


def test_cases_that_no_fold_names_have_no_split(tmp_path):
    folder = nnunet(tmp_path)
    (folder / "splits_final.json").write_text('[{"train": ["p1_1"], "val": ["p2_1"]}]')
    assert [e.split for e in open_dataset(folder)] == ["train", None, "val"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("splits_final.json", '[{"train": ["p1_1"], "val": ["nobody"]}]', "unknown case 'nobody'"),
        ("splits_final.json", '[{"train": ["p1_1"], "val": ["p1_1"]}]', "in train and in val"),
        ("splits_final.json", '{"train": []}', "must be a list"),
        ("splits_final.json", "[", "not valid JSON"),
        ("groups.csv", "case,group\np1_1,p1\n", "has no group"),
        ("groups.csv", "case,group\nnobody,p1\n", "Line 2: the case 'nobody' is unknown"),
        ("groups.csv", "a,b\n1,2\n", "'case' and 'group' are needed"),
        ("dataset.json", "{", "not valid JSON"),
        ("dataset.json", '{"labels": {"x": "y"}}', "no single whole number"),
    ],
)
def test_refusals(tmp_path, name, content, words):
    folder = nnunet(tmp_path)
    (folder / name).write_text(content)
    message = refusal(folder)
    assert words in message
    assert name in message


def test_group_in_both_splits(tmp_path):
    folder = nnunet(tmp_path)
    folds = [{"train": ["p1_1"], "val": ["p1_2", "p2_1"]}]
    (folder / "splits_final.json").write_text(json.dumps(folds))
    (folder / "groups.csv").write_text("case,group\np1_1,p1\np1_2,p1\np2_1,p2\n")
    assert "The group 'p1' is in both" in refusal(folder)


def test_missing_channel(tmp_path):
    folder = nnunet(tmp_path)
    (folder / "imagesTr" / "p1_2_0000.nii.gz").unlink()
    (folder / "imagesTr" / "p1_2_0001.nii.gz").rename(folder / "imagesTr" / "p1_2_0003.nii.gz")
    assert "'p1_2' has no channel 0000" in refusal(folder)


def test_listed_file_that_is_missing_or_outside(tmp_path):
    folder = msd(tmp_path / "x")
    (folder / "labelsTr" / "b.nii.gz").unlink()
    assert "labelsTr/b.nii.gz' is not there" in refusal(folder)
    outside = [{"image": "../a.nii.gz", "label": "labelsTr/a.nii.gz"}]
    assert "leads out" in refusal(msd(tmp_path / "y", training=outside))


def test_value_without_a_name(tmp_path):
    folder = nnunet(tmp_path)
    nifti(folder / "labelsTr" / "p1_1.nii.gz", 7)
    with pytest.raises(errors.DatasetError, match="value 7"):
        open_dataset(folder).entries[0].load()


def test_regions_are_said_to_be_read_as_values(tmp_path):
    dataset = open_dataset(nnunet(tmp_path, labels={"background": 0, "whole": [1, 2]}))
    assert "regions" in dataset.notes[0]
    assert dataset.entries[0].load().mask.voxels.max() == 1


@pytest.mark.shared_data
def test_real_hippocampus(shared_data):
    dataset = open_dataset(shared_data("msd_hippocampus"))
    assert len(dataset) == 200
    assert dataset.mask_labels == {1: "Anterior", 2: "Posterior"}
    case = dataset.entries[0].load()
    assert case.volume.geometry.spacing == (1, 1, 1)
    assert set(np.unique(case.mask.voxels)) == {0, 1, 2}
    assert case.volume.modality == "MR"


def test_without_dataset_json_it_is_no_folder_of_classes(tmp_path):
    folder = nnunet(tmp_path)
    (folder / "dataset.json").unlink()
    dataset = open_dataset(folder)
    assert dataset.kind == "nnunet"
    assert len(dataset) == 3
    assert any("called by their values" in note for note in dataset.notes)


def test_numbers_of_cases_are_no_channels(tmp_path):
    for number in range(3):
        nifti(tmp_path / "imagesTr" / f"h_{number:04d}.nii.gz", 50)
        nifti(tmp_path / "labelsTr" / f"h_{number:04d}.nii.gz", 1)
    dataset = open_dataset(tmp_path)
    assert [e.name for e in dataset] == ["h_0000", "h_0001", "h_0002"]


def test_a_file_ending_without_its_dot(tmp_path):
    assert len(open_dataset(nnunet(tmp_path, file_ending="nii.gz"))) == 3
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"a": 1}, "file_ending": ".mha"}))
    assert "end in '.mha'" in refusal(tmp_path)


def test_a_case_with_one_of_two_channels_is_refused(tmp_path):
    folder = nnunet(tmp_path)
    (folder / "imagesTr" / "p1_2_0001.nii.gz").unlink()
    entries = open_dataset(folder).entries
    assert len(entries[0].load().volumes) == 2
    with pytest.raises(errors.DatasetError, match="one of the 2 channels"):
        entries[1].load()


def test_what_nobody_outlined_is_not_learnt(tmp_path):
    folder = nnunet(tmp_path, labels={"background": 0, "lesion": 1, "ignore": 2})
    assert "'ignore'" in refusal(folder)
    assert len(open_inputs([folder / "imagesTr"], sequences=False)) == 3


def test_images_alone_have_nothing_to_learn(tmp_path):
    folder = nnunet(tmp_path)
    shutil.rmtree(folder / "labelsTr")
    assert "None of the 3 cases has a mask" in refusal(folder)
