"""``diaphane convert``: voxels and places are kept, identity is not, layouts carry what they hold."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from typer.testing import CliRunner

from diaphane.acquire import open_dataset, read
from diaphane.cli import app
from diaphane.privacy import AuditChain, Event, Pseudonymiser
from outlined import volume, write_lines, write_msd
from studies import NAME, leaks, secrets_of, write_dicom
from tables import rows

DCIODVFY = shutil.which("dciodvfy", path="/usr/bin:/usr/local/bin")


def convert(*arguments):
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def converted(*arguments):
    result = convert(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def same(one, two):
    return np.array_equal(one.voxels, two.voxels) and one.geometry.close_to(two.geometry, 1e-3)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder called after its patient, with a CT and an MR series in it, and a damaged file."""
    folder = tmp_path_factory.mktemp("in") / "NHS-1820 Nightingale"
    folder.mkdir()
    write_dicom(folder, number=3)
    write_dicom(folder, number=4, modality="MR", shape=(5, 20, 22))
    return folder


@pytest.mark.parametrize("ending", ["nii.gz", "nii", "mha", "nrrd"])
def test_a_series_to_a_file_and_back(study, tmp_path, ending):
    original = read(study, series=3)
    converted(study, tmp_path / f"a.{ending}", "--series", 3)
    again = read(tmp_path / f"a.{ending}")
    assert same(again, original)
    assert again.voxels.dtype == original.voxels.dtype
    converted(tmp_path / f"a.{ending}", tmp_path / "back", "--modality", "ct")
    back = read(tmp_path / "back")
    assert same(back, original)
    assert (back.modality, back.unit) == ("CT", "HU")
    assert not leaks(tmp_path, secrets_of(study))


def test_itk_reads_the_same_place(study, tmp_path):
    converted(study, tmp_path / "a.nrrd", "--series", 4)
    converted(tmp_path / "a.nrrd", tmp_path / "mr", "--modality", "MR")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "mr")))
    one, two = reader.Execute(), sitk.ReadImage(tmp_path / "a.nrrd")
    assert np.array_equal(sitk.GetArrayFromImage(one), sitk.GetArrayFromImage(two))
    assert one.GetOrigin() == pytest.approx(two.GetOrigin(), abs=1e-3)
    assert one.GetSpacing() == pytest.approx(two.GetSpacing(), abs=1e-4)
    assert one.GetDirection() == pytest.approx(two.GetDirection(), abs=1e-6)


def test_every_series_of_a_folder_is_named_by_its_key(study, tmp_path):
    done = converted(study, tmp_path / "all")
    assert len(done["written"]) == 2
    assert all(Path(name).name.startswith("S-") for name in done["written"])
    assert not leaks(tmp_path, secrets_of(study))
    sizes = sorted(read(name).shape for name in done["written"])
    assert sizes == [(4, 24, 24), (5, 20, 22)]


def test_several_series_do_not_go_into_one_file(study, tmp_path):
    result = convert(study, tmp_path / "a.nii.gz")
    assert result.exit_code == 3
    assert "--series" in result.stderr
    assert not list(tmp_path.iterdir())


def test_dicom_to_dicom_carries_the_study_only_when_asked(study, tmp_path):
    done = converted(study, tmp_path / "plain", "--format", "dicom")
    assert any("--identity study" in note for note in done["notes"])
    assert len(list((tmp_path / "plain").iterdir())) == 2
    assert not leaks(tmp_path, secrets_of(study))
    done = converted(
        study, tmp_path / "filed", "--format", "dicom", "--identity", "study", "--series", 3
    )
    assert any("patient and study are copied" in note for note in done["notes"])
    data = pydicom.dcmread(next((tmp_path / "filed").iterdir()))
    source = pydicom.dcmread(next(study.glob("3_*")))
    assert data.PatientName == NAME
    assert data.StudyInstanceUID == source.StudyInstanceUID
    assert data.SeriesInstanceUID != source.SeriesInstanceUID
    assert data.SOPInstanceUID != source.SOPInstanceUID
    assert "DERIVED" in data.ImageType


def test_without_identity_a_study_is_named_as_deidentify_names_it(study, tmp_path):
    converted(study, tmp_path / "one", "--format", "dicom", "--series", 3)
    done = CliRunner().invoke(app, ["deidentify", str(study), str(tmp_path / "other"), "--quiet"])
    assert done.exit_code == 0, done.output
    told = [
        [
            (data.PatientName, data.PatientID, data.StudyInstanceUID, data.FrameOfReferenceUID)
            for data in map(pydicom.dcmread, folder.rglob("*.dcm"))
        ]
        for folder in (tmp_path / "one", tmp_path / "other")
    ]
    assert set(told[0]) <= set(told[1])


def test_identity_that_is_let_through_is_audited(study, tmp_path):
    seen = sum(1 for _ in AuditChain().entries())
    converted(study, tmp_path / "plain", "--format", "dicom", "--series", 3)
    assert sum(1 for _ in AuditChain().entries()) == seen
    filed = tmp_path / "filed"
    converted(study, filed, "--format", "dicom", "--identity", "study", "--series", 3)
    *_, (entry, fault) = AuditChain().entries()
    uid = pydicom.dcmread(next(filed.iterdir())).StudyInstanceUID
    assert not fault
    assert entry.event == Event(
        "convert", Pseudonymiser.load().pseudonym(uid, "study"), {"identity": "study"}
    )


@pytest.mark.integration
def test_dicom_from_other_formats_is_proper(study, tmp_path):
    if DCIODVFY is None:
        pytest.skip("Debian's dciodvfy (dicom3tools) is not here")
    converted(study, tmp_path / "a.nii.gz", "--series", 3)
    Image.fromarray(np.arange(60, dtype=np.uint8).reshape(6, 10)).save(tmp_path / "p.png")
    for name, source, more in (
        ("ct", "a.nii.gz", ["--modality", "CT"]),
        ("mr", "a.nii.gz", ["--modality", "MR"]),
        ("capture", "a.nii.gz", []),
        ("picture", "p.png", []),
    ):
        converted(tmp_path / source, tmp_path / name, *more)
        for path in (tmp_path / name).iterdir():
            said = subprocess.run([DCIODVFY, path], capture_output=True, text=True, check=False)
            assert "Error" not in said.stdout + said.stderr, name


def test_a_damaged_file_is_refused_beside_the_rest(study, tmp_path):
    folder = shutil.copytree(study, tmp_path / "in")
    victim = next(folder.glob("4_*2.dcm"))
    victim.write_bytes(victim.read_bytes()[:-300])
    result = convert(folder, tmp_path / "out")
    assert result.exit_code == 1
    assert {row["error"] for row in rows(tmp_path / "out" / "rejected.csv")} == {"UnreadableFile"}
    assert len(list((tmp_path / "out").glob("S-*.nii.gz"))) == 1
    converted(study, tmp_path / "out")
    assert not (tmp_path / "out" / "rejected.csv").exists()


def test_pictures_and_what_is_lost(tmp_path):
    values = np.random.default_rng(0).integers(0, 65536, (6, 9)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    for name in ("a.nrrd", "a.nii.gz", "a.dcm"):
        assert converted(tmp_path / "a.png", tmp_path / name)["notes"] == []
        again = read(tmp_path / name)
        assert np.array_equal(again.voxels[0], values)
        assert again.geometry.spacing == (None, None, None)
    converted(tmp_path / "a.nrrd", tmp_path / "b.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), values)
    sitk.WriteImage(sitk.GetImageFromArray(np.full((1, 4, 4), 0.3, np.float32)), tmp_path / "f.mha")
    result = convert(tmp_path / "f.mha", tmp_path / "f.png")
    assert result.exit_code == 3
    assert not (tmp_path / "f.png").exists()
    done = converted(tmp_path / "f.mha", tmp_path / "f", "--format", "dicom")
    assert done["written"] == [str(tmp_path / "f")]


def test_a_folder_of_pictures_is_a_stack_or_many(tmp_path):
    folder = tmp_path / "slices"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.full((4, 5), number, np.uint8)).save(folder / f"{number}.png")
    converted(folder, tmp_path / "stack.nii.gz")
    assert read(tmp_path / "stack.nii.gz").voxels[:, 0, 0].tolist() == [0, 1, 2]
    done = converted(folder, tmp_path / "each", "--format", "nrrd", "--as", "images")
    assert [Path(name).name for name in done["written"]] == ["0.nrrd", "1.nrrd", "2.nrrd"]


def test_a_mask_goes_along(study, tmp_path):
    image = read(study, series=3)
    mask = np.zeros(image.shape, np.uint8)
    mask[1:3, 4:9, 5:12], mask[2, 15:18, 3:9] = 2, 5
    labels = sitk.GetImageFromArray(mask)
    labels.CopyInformation(image.to_sitk())
    sitk.WriteImage(labels, tmp_path / "m.mha")
    chosen = (study, "--series", 3, "--mask", tmp_path / "m.mha")
    converted(chosen[0], tmp_path / "a.nii.gz", *chosen[1:])
    assert np.array_equal(read(tmp_path / "a_mask.nii.gz").voxels, mask)
    converted(chosen[0], tmp_path / "dicom", *chosen[1:], "--format", "dicom")
    (segmentation,) = (tmp_path / "dicom").glob("SEG*")
    data = pydicom.dcmread(segmentation)
    assert [item.SegmentNumber for item in data.SegmentSequence] == [1, 2]
    assert data.pixel_array.sum() == (mask > 0).sum()
    converted(tmp_path / "dicom", tmp_path / "again.nrrd", "--mask", segmentation)
    again = read(tmp_path / "again_mask.nrrd").voxels
    assert np.array_equal(again, np.array([0, 0, 1, 0, 0, 2])[mask])
    assert not leaks(tmp_path / "dicom", secrets_of(study))
    wrong = convert(study, tmp_path / "b.nii.gz", "--series", 4, "--mask", tmp_path / "m.mha")
    assert wrong.exit_code == 3
    assert not (tmp_path / "b.nii.gz").exists()


def test_nothing_is_written_into_the_input(study, tmp_path):
    before = sorted(study.rglob("*"))
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("keep")
    for arguments in (
        (study, study),
        (study, study / "out"),
        (study, study / "a.nii.gz", "--series", "3"),
        (study, study.parent),
        (study, full, "--format", "dicom"),
        (study, tmp_path / "out", "--format", "jpg"),
        (study, tmp_path / "a.nii.gz", "--format", "nrrd"),
    ):
        assert convert(*arguments).exit_code == 2, arguments
    assert sorted(study.rglob("*")) == before
    assert (full / "mine.txt").read_text() == "keep"


def by_name(dataset):
    return {Path(entry.name).name.split(".")[0]: entry for entry in dataset}


def partition(entries):
    groups = {}
    for name, entry in entries.items():
        groups.setdefault(entry.group, set()).add(name)
    return sorted(map(sorted, groups.values()))


@pytest.fixture(scope="module")
def outlined_set(tmp_path_factory):
    """A manifest with masks, splits, groups, labels, concepts, subgroups and points."""
    root = write_msd(tmp_path_factory.mktemp("set"), [volume(n, (5, 12, 11)) for n in range(6)])
    (root / "dataset.json").unlink()
    (root / "labels.json").write_text('{"1": "rim", "2": "core"}')
    lines = ["file,mask,group,split,label,concept:size,subgroup:site,point,reader"]
    for n, split in enumerate(("train", "train", "val", "val", "test", "test")):
        where = f"imagesTr/c_{n:03d}.nii.gz,labelsTr/c_{n:03d}.nii.gz"
        lines.append(f'{where},Mrs {n // 2},{split},{"ab"[n % 2]},{n}.5,s{n},"1,2,{n}",x')
    (root / "labels.csv").write_text("\n".join(lines))
    return root


def test_manifest_to_nnunet_and_back(outlined_set, tmp_path):
    there = converted(outlined_set, tmp_path / "nn", "--to", "nnunet")
    (lost,) = (note for note in there["notes"] if "lost" in note)
    assert all(kind in lost for kind in ("class labels", "concepts", "subgroups", "points"))
    assert any("reader" in note for note in there["notes"])
    plan = json.loads((tmp_path / "nn" / "dataset.json").read_text())
    assert plan["labels"] == {"background": 0, "rim": 1, "core": 2}
    assert plan["file_ending"] == ".nii.gz"
    assert plan["numTraining"] == 4
    assert len(list((tmp_path / "nn" / "imagesTs").iterdir())) == 2
    converted(tmp_path / "nn", tmp_path / "back", "--to", "manifest")
    old, new = (by_name(open_dataset(p)) for p in (outlined_set, tmp_path / "back"))
    assert list(old) == list(new)
    assert partition(old) == partition(new)
    for name, entry in old.items():
        one, two = entry.load(), new[name].load()
        assert same(one.volume, two.volume)
        assert same(one.mask, two.mask)
        assert entry.split == new[name].split
    assert open_dataset(tmp_path / "back").mask_labels == {1: "rim", 2: "core"}
    assert "Mrs" not in (tmp_path / "nn" / "groups.csv").read_text()


def test_a_manifest_keeps_everything_in_a_manifest(outlined_set, tmp_path):
    converted(outlined_set, tmp_path / "m", "--to", "manifest", "--format", "nrrd")
    old, new = (by_name(open_dataset(p)) for p in (outlined_set, tmp_path / "m"))
    assert partition(old) == partition(new)
    for name, entry in old.items():
        for field in ("labels", "split", "concepts", "subgroups", "points"):
            assert getattr(entry, field) == getattr(new[name], field)
        assert same(entry.load().mask, new[name].load().mask)


def test_folds_and_channels_of_nnunet(tmp_path):
    root = tmp_path / "nn"
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    for n in range(4):
        image = sitk.GetImageFromArray(np.full((3, 4, 5), n, np.int16))
        sitk.WriteImage(image, root / f"imagesTr/c_{n}_0000.nrrd")
        sitk.WriteImage(image + 7, root / f"imagesTr/c_{n}_0001.nrrd")
        sitk.WriteImage(sitk.Cast(image > 1, sitk.sitkUInt8), root / f"labelsTr/c_{n}.nrrd")
    channels = {"channel_names": {"0": "T1", "1": "FLAIR"}, "file_ending": ".nrrd"}
    labels = {"labels": {"background": 0, "lesion": 1}, "numTraining": 4}
    (root / "dataset.json").write_text(json.dumps({**channels, **labels}))
    folds = [{"train": ["c_0", "c_1", "c_2"], "val": ["c_3"]}, {"train": ["c_3"], "val": ["c_0"]}]
    (root / "splits_final.json").write_text(json.dumps(folds))
    converted(root, tmp_path / "same", "--to", "nnunet")
    assert json.loads((tmp_path / "same" / "splits_final.json").read_text()) == folds
    assert json.loads((tmp_path / "same" / "dataset.json").read_text())["channel_names"] == {
        "0": "T1",
        "1": "FLAIR",
    }
    done = converted(root, tmp_path / "m", "--to", "manifest")
    assert any("2 folds" in note for note in done["notes"])
    case = open_dataset(tmp_path / "m").entries[2].load()
    assert list(case.volumes) == ["T1", "FLAIR"]
    assert case.volumes["FLAIR"].voxels.max() == 9


def test_other_kinds_become_manifests(study, tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (4, 28, 28, 3)).astype(np.uint8)
    labels = np.array([[0], [1], [1], [0]])
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=labels)
    converted(tmp_path / "set.npz", tmp_path / "m", "--to", "manifest")
    dataset = open_dataset(tmp_path / "m")
    assert [entry.labels["label"] for entry in dataset] == ["0", "1", "1", "0"]
    assert all(entry.split == "train" for entry in dataset)
    assert np.array_equal(
        dataset.entries[3].load().volume.voxels[:, 0].transpose(1, 2, 0), images[3]
    )
    for name in ("benign", "malignant"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        Image.fromarray(images[0]).save(tmp_path / "classes" / name / "1.png")
    converted(tmp_path / "classes", tmp_path / "c", "--to", "manifest")
    assert open_dataset(tmp_path / "c").classes == {"label": ("benign", "malignant")}
    converted(study, tmp_path / "d", "--to", "manifest")
    dataset = open_dataset(tmp_path / "d")
    assert len({entry.group for entry in dataset}) == 1
    assert not leaks(tmp_path / "d", secrets_of(study))


def test_nnunet_of_pictures_and_refused_cases(tmp_path):
    root = write_lines(tmp_path / "lines", 4, 32, colour=True)
    (root / "p2.png").write_bytes(b"no picture")
    result = convert(root, tmp_path / "nn", "--to", "nnunet")
    assert result.exit_code == 1
    (row,) = rows(tmp_path / "nn" / "rejected.csv")
    assert (row["file"], row["error"]) == ("p2.png", "UnreadableFile")
    plan = json.loads((tmp_path / "nn" / "dataset.json").read_text())
    assert plan["channel_names"] == {"0": "R", "1": "G", "2": "B"}
    old, new = by_name(open_dataset(root)), by_name(open_dataset(tmp_path / "nn"))
    assert same(old["p3"].load().volume, new["p3"].load().volume)
    assert same(old["p3"].load().mask, new["p3"].load().mask)


def test_a_layout_that_does_not_fit_is_told(study, tmp_path):
    (tmp_path / "set").mkdir()
    with (tmp_path / "set" / "labels.csv").open("w") as stream:
        csv.writer(stream).writerows([["file", "label"], ["a.png", "x"]])
    Image.new("L", (4, 4)).save(tmp_path / "set" / "a.png")
    assert convert(tmp_path / "set", tmp_path / "nn", "--to", "nnunet").exit_code == 2
    assert convert(tmp_path / "set", tmp_path / "a.nii.gz").exit_code == 2
    assert convert(tmp_path / "set", tmp_path / "set" / "in", "--to", "manifest").exit_code == 2
    assert not (tmp_path / "nn").exists()
