"""Masks of ``predict``: named as the inputs, on their grids, never over other files, resumed."""

import json
import shutil
import signal
import subprocess
import sys
import time

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image

from diaphane.acquire import read
from diaphane.acquire.phantom import chest_phantom, write_dicom_series
from diaphane.batch import Drawing, Outlining, predict
from diaphane.batch.masking import mask_names
from diaphane.bundle import LabelSpec, PatchSpec, load_segmenter
from diaphane.core.errors import UsageError
from diaphane.preprocess import Recipe, make_step
from tables import rows

AFFINE = np.array([[0.8, 0.3, 0.1, 4], [-0.3, 0.9, 0.2, -9], [0.05, -0.2, 2.1, 30], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def rings(segments, tmp_path_factory):
    return load_segmenter(segments.write_rings(tmp_path_factory.mktemp("b") / "rings"), threads=1)


@pytest.fixture(scope="module")
def discs(segments, tmp_path_factory):
    """A bundle of single pictures."""
    manifest = segments.segment_manifest(
        patch=PatchSpec(size=(1, 16, 16)), labels=(LabelSpec(value=1, name="disc"),), quality={}
    )
    folder = tmp_path_factory.mktemp("b") / "discs"
    return load_segmenter(segments.write_rings(folder, manifest=manifest), threads=1)


def write_nifti(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(image.transpose(2, 1, 0), AFFINE), path)


def write_picture(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((30, 40), np.uint8)
    pixels[5 + seed : 15 + seed, 8:20] = 220
    Image.fromarray(pixels).save(path)
    return pixels


def files_below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_volume_gets_its_own_name_grid_and_axes(rings, segments, tmp_path):
    image, truth = segments.ring_image()
    write_nifti(tmp_path / "scan 1.nii.gz", image)
    done = predict(
        rings,
        [tmp_path / "scan 1.nii.gz"],
        tmp_path / "out.csv",
        drawing=Drawing(tmp_path / "m", outlining=Outlining(probabilities=True, uncertainty=True)),
    )
    assert (done.done, done.refused, done.kept) == (1, (), 0)
    assert files_below(tmp_path / "m") == ["masks.json", "scan 1.nii.gz"]
    mask = nibabel.load(tmp_path / "m" / "scan 1.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj).transpose(2, 1, 0), truth)
    np.testing.assert_allclose(mask.affine, AFFINE, atol=1e-6)
    (row,) = rows(tmp_path / "out.csv")
    assert list(row) == [
        "file", "unit", "volume:rim", "volume:core", "predicted_dice:rim", "predicted_dice:core",
        "mask",
    ]  # fmt: skip
    voxel = np.prod(read(tmp_path / "scan 1.nii.gz").geometry.spacing)
    assert float(row["volume:core"]) == pytest.approx((truth == 2).sum() * voxel)
    assert (row["unit"], row["mask"]) == ("mm3", "scan 1.nii.gz")
    assert 0 <= float(row["predicted_dice:rim"]) <= 1
    assert row["predicted_dice:core"] == ""
    p = nibabel.load(tmp_path / "m-probabilities" / "scan 1.nii.gz").get_fdata()
    assert p.shape == (*image.shape[::-1], 2)
    assert p.max() <= 1.0
    assert p[..., 1].T[truth == 2].min() > 0.5 - 1 / 255
    unsure = nibabel.load(tmp_path / "m-uncertainty" / "scan 1.nii.gz").get_fdata()
    assert unsure.shape == image.shape[::-1]
    record = json.loads((tmp_path / "m" / "masks.json").read_text())
    assert record["labels"] == {"rim": 1, "core": 2}
    assert record["bundle"]["sha256"] == rings.sha256


def test_pictures_get_pictures(discs, tmp_path):
    pixels = write_picture(tmp_path / "in" / "a.png")
    write_picture(tmp_path / "in" / "b.jpg", 3)
    done = predict(
        discs,
        [tmp_path / "in"],
        tmp_path / "out.csv",
        drawing=Drawing(tmp_path / "m", outlining=Outlining(probabilities=True)),
    )
    assert done.done == 2
    assert files_below(tmp_path / "m") == ["a.png", "b.png", "masks.json"]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "m" / "a.png")), pixels > 0)
    assert files_below(tmp_path / "m-probabilities") == ["a.disc.png", "b.disc.png"]
    first = rows(tmp_path / "out.csv")[0]
    assert (first["unit"], float(first["volume:disc"])) == ("px", 120.0)


@pytest.mark.parametrize(("form", "ending"), [("mha", ".mha"), ("nrrd", ".nrrd"), ("nii", ".nii")])
def test_other_formats_keep_the_grid(rings, segments, tmp_path, form, ending):
    image, truth = segments.ring_image((5, 16, 18))
    write_nifti(tmp_path / "scan.nii.gz", image)
    drawing = Drawing(tmp_path / "m", form)
    predict(rings, [tmp_path / "scan.nii.gz"], tmp_path / "o.csv", drawing=drawing)
    back = read(tmp_path / "m" / f"scan{ending}")
    np.testing.assert_array_equal(back.voxels, truth)
    assert back.geometry.shape == truth.shape
    if ending != ".nii":
        # The format holds the shear of this grid only to its own precision.
        assert sitk.ReadImage(str(tmp_path / "m" / f"scan{ending}")).GetDimension() == 3


def test_a_format_that_cannot_hold_a_mask_refuses_the_case(rings, segments, tmp_path):
    write_nifti(tmp_path / "scan.nii.gz", segments.ring_image((5, 16, 18))[0])
    for form, said in (("png", "one slice"), ("seg", "DICOM input")):
        done = predict(
            rings, [tmp_path / "scan.nii.gz"], tmp_path / "o.csv",
            drawing=Drawing(tmp_path / form, form),
        )  # fmt: skip
        assert done.done == 0
        assert said in done.refused[0].problem
        assert files_below(tmp_path / form) == ["masks.json"]


def test_a_dicom_series_gets_a_segmentation_object(segments, tmp_path):
    """Bone of the phantom, as a DICOM object beside its study."""
    phantom = chest_phantom(3, (8.0, 4.0, 4.0), (24, 64, 64))
    write_dicom_series(phantom, tmp_path / "study" / "ct")
    step = make_step("rescale_intensity", {"in_low": -1000.0, "in_high": 1000.0})
    manifest = segments.segment_manifest(
        recipe=Recipe((step,)).to_dict(),
        labels=(LabelSpec(value=3, name="soft tissue"), LabelSpec(value=9, name="metal")),
        quality={},
    )
    folder = segments.write_rings(tmp_path / "b", manifest=manifest, levels=(0.5, 0.99))
    done = predict(
        folder, [tmp_path / "study"], tmp_path / "o.csv", drawing=Drawing(tmp_path / "m")
    )
    assert done.done == 1, done.refused
    (name,) = [n for n in files_below(tmp_path / "m") if n.endswith(".dcm")]
    written = pydicom.dcmread(tmp_path / "m" / name)
    source = pydicom.dcmread(next((tmp_path / "study" / "ct").iterdir()))
    assert written.Modality == "SEG"
    assert written.StudyInstanceUID == source.StudyInstanceUID
    assert written.PatientID == source.PatientID
    assert [s.SegmentLabel for s in written.SegmentSequence] == ["soft tissue", "metal"]
    image = read(tmp_path / "study").voxels
    frames = written.pixel_array
    first = [
        f.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
        for f in written.PerFrameFunctionalGroupsSequence
    ]
    assert frames[first].sum() == ((image > 0) & (image < 980)).sum()
    (row,) = rows(tmp_path / "o.csv")
    assert row["mask"] == name


def test_nnunet_names_lose_their_channel(rings, segments, tmp_path):
    for k in range(2):
        image = segments.ring_image((5, 16, 18), seed=k)[0]
        write_nifti(tmp_path / "set" / "imagesTs" / f"case_{k}_0000.nii.gz", image)
    (tmp_path / "set" / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "MR"}, "labels": {"background": 0, "rim": 1},
                    "numTraining": 0, "file_ending": ".nii.gz"})
    )  # fmt: skip
    for number, given in enumerate(
        (
            [tmp_path / "set"],
            [tmp_path / "set" / "imagesTs"],
            sorted((tmp_path / "set" / "imagesTs").iterdir()),
        )
    ):
        masks = tmp_path / f"m{number}"
        done = predict(rings, given, tmp_path / "o.csv", drawing=Drawing(masks))
        assert done.done == 2, done.refused
        assert files_below(masks) == ["case_0.nii.gz", "case_1.nii.gz", "masks.json"]


def test_names_that_clash_keep_their_folders(discs, tmp_path):
    for folder, seed in (("left", 0), ("right", 4)):
        write_picture(tmp_path / "in" / folder / "eye.png", seed)
    done = predict(
        discs, [tmp_path / "in" / "left", tmp_path / "in" / "right"], tmp_path / "o.csv",
        drawing=Drawing(tmp_path / "m"),
    )  # fmt: skip
    assert done.done == 2
    assert files_below(tmp_path / "m") == ["left/eye.png", "masks.json", "right/eye.png"]
    masks = [np.asarray(Image.open(tmp_path / "m" / n / "eye.png")) for n in ("left", "right")]
    assert (masks[0] != masks[1]).any()


def test_what_nothing_tells_apart_is_refused(discs, tmp_path):
    """The same name in two formats: the second is refused, the first stays."""
    pixels = write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "a.bmp", 5)
    done = predict(
        discs, [tmp_path / "a.png", tmp_path / "a.bmp"], tmp_path / "o.csv",
        drawing=Drawing(tmp_path / "m"),
    )  # fmt: skip
    assert done.done == 1
    assert done.refused[0].error == "AmbiguousInput"
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "m" / "a.png")), pixels > 0)


def test_names_stay_below_the_folder():
    class Named:
        def __init__(self, name):
            self.name = name

    typed = ["../../up/x.png", "/abs/x.png", "a/../x.nii.gz", "study#3", "C:\\d\\y.png", "train/0"]
    names, refused = mask_names([Named(n) for n in typed])
    assert not refused
    for name in names.values():
        assert ".." not in name.split("/")
        assert not name.startswith("/")
        assert ":" not in name
    assert len(set(names.values())) == len(typed)


def test_images_are_never_overwritten(discs, tmp_path):
    write_picture(tmp_path / "in" / "a.png")
    before = (tmp_path / "in" / "a.png").read_bytes()
    with pytest.raises(UsageError, match="another file"):
        predict(discs, [tmp_path / "in"], tmp_path / "o.csv", drawing=Drawing(tmp_path / "in"))
    assert (tmp_path / "in" / "a.png").read_bytes() == before
    assert not (tmp_path / "o.csv").exists()
    # Masks of an earlier run may be replaced, in another format too.
    for form in (None, None, "nii.gz"):
        drawing = Drawing(tmp_path / "m", form)
        assert predict(discs, [tmp_path / "in"], tmp_path / "o.csv", drawing=drawing).done == 1
    assert files_below(tmp_path / "m") == ["a.nii.gz", "masks.json"]


def test_a_bad_case_does_not_end_the_batch(discs, tmp_path):
    write_picture(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    done = predict(discs, [tmp_path / "in"], tmp_path / "o.csv", drawing=Drawing(tmp_path / "m"))
    assert done.done == 1
    assert [r["file"] for r in rows(tmp_path / "rejected.csv")] == [str(tmp_path / "in/b.png")]
    assert files_below(tmp_path / "m") == ["a.png", "masks.json"]


def test_resume_does_only_what_is_left(discs, tmp_path):
    for k in range(4):
        write_picture(tmp_path / "in" / f"{k}.png", k)

    def run(**settings):
        drawing = Drawing(tmp_path / "m", resume=True, outlining=Outlining(**settings))
        return predict(discs, [tmp_path / "in"], tmp_path / "o.csv", drawing=drawing)

    first = run()
    assert (first.done, first.kept) == (4, 0)
    table = (tmp_path / "o.csv").read_bytes()
    masks = tmp_path / "m"
    kept = (masks / "0.png").stat().st_mtime_ns
    (masks / "2.png").unlink()
    again = run()
    assert (again.done, again.kept) == (4, 3)
    assert (masks / "2.png").is_file()
    assert (masks / "0.png").stat().st_mtime_ns == kept
    assert (tmp_path / "o.csv").read_bytes() == table


def test_resume_refuses_another_bundle(discs, rings, tmp_path):
    write_picture(tmp_path / "in" / "a.png")
    predict(discs, [tmp_path / "in"], tmp_path / "o.csv", drawing=Drawing(tmp_path / "m"))
    with pytest.raises(UsageError, match="another bundle"):
        predict(
            rings, [tmp_path / "in"], tmp_path / "o.csv",
            drawing=Drawing(tmp_path / "m", resume=True), stack=False,
        )  # fmt: skip


def test_a_killed_run_leaves_whole_masks_and_goes_on(discs, tmp_path):
    """Killed after some masks: each is whole, and resuming ends as if nothing had happened."""
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for k in range(40):
        pixels = rng.integers(0, 256, (90, 90)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{k}.png")
    command = [
        sys.executable, "-m", "diaphane", "predict", str(discs.path), str(tmp_path / "in"),
        "--out", str(tmp_path / "o.csv"), "--masks", str(tmp_path / "m"), "--threads", "1",
        "--resume",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list((tmp_path / "m").glob("*.png"))) < 3 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = list((tmp_path / "m").glob("*.png"))
    assert there
    for mask in there:
        assert np.asarray(Image.open(mask)).shape == (90, 90)
    assert not (tmp_path / "o.csv").exists() or process.returncode == 0
    done = predict(
        discs, [tmp_path / "in"], tmp_path / "o.csv", drawing=Drawing(tmp_path / "m", resume=True)
    )
    assert done.done == 40
    assert process.returncode == 0 or 0 < done.kept < 40
    assert len(rows(tmp_path / "o.csv")) == 40
    straight = predict(
        discs, [tmp_path / "in"], tmp_path / "p.csv", drawing=Drawing(tmp_path / "n")
    )
    assert straight.kept == 0
    assert rows(tmp_path / "o.csv") == rows(tmp_path / "p.csv")
    for mask in (tmp_path / "n").glob("*.png"):
        assert mask.read_bytes() == (tmp_path / "m" / mask.name).read_bytes()
    assert not [p for p in (tmp_path / "m").iterdir() if p.is_dir()]
    assert not list(tmp_path.glob("*.partial"))


def test_the_table_alone(discs, tmp_path):
    write_picture(tmp_path / "a.png")
    done = predict(discs, [tmp_path / "a.png"], tmp_path / "o.csv")
    assert done.done == 1
    assert rows(tmp_path / "o.csv")[0]["mask"] == ""
    with pytest.raises(UsageError, match="--masks"):
        predict(
            discs, [tmp_path / "a.png"], tmp_path / "o.csv",
            drawing=Drawing(outlining=Outlining(probabilities=True)),
        )  # fmt: skip
    with pytest.raises(UsageError, match="no contributions"):
        predict(discs, [tmp_path / "a.png"], tmp_path / "o.csv", contributions=True)


def test_a_bundle_that_classifies_makes_no_masks(toy_bundle, tmp_path):
    write_picture(tmp_path / "a.png")
    with pytest.raises(UsageError, match="classifies"):
        predict(
            toy_bundle, [tmp_path / "a.png"], tmp_path / "o.csv", drawing=Drawing(tmp_path / "m")
        )
    shutil.rmtree(tmp_path / "m", ignore_errors=True)
