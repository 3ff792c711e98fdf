"""Manifest folders: columns by role, refusals by line."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from PIL import Image

from diaphane.acquire import open_dataset, open_inputs
from diaphane.core import errors


def picture(path, value=7, shape=(4, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = value if isinstance(value, np.ndarray) else np.full(shape, value, np.uint8)
    Image.fromarray(pixels).save(path)


def manifest(folder, text, pictures=("a.png", "b.png", "c.png")):
    for index, name in enumerate(pictures):
        picture(folder / name, index)
    (folder / "labels.csv").write_text(text, encoding="utf-8")
    return folder


def refusal(folder, **options):
    with pytest.raises(errors.DatasetError) as caught:
        open_dataset(folder, **options)
    return str(caught.value)


def test_all_roles(tmp_path):
    folder = manifest(
        tmp_path,
        "file,label,group,split,concept:size,subgroup:sex,point,reader\n"
        'a.png,bad,p1,train,3.5,F,"1,2,3;4,5,6",x\n'
        "b.png,good,p1,train,,M,,y\n"
        "c.png,bad,p2,test,4,,,z\n",
    )
    dataset = open_dataset(folder)
    assert dataset.kind == "manifest"
    assert [e.name for e in dataset] == ["a.png", "b.png", "c.png"]
    assert dataset.label_columns == ("label",)
    assert dataset.classes == {"label": ("bad", "good")}
    assert dataset.notes == ("ignored columns: reader",)
    assert dataset.has_splits
    assert [e.split for e in dataset] == ["train", "train", "test"]
    first, second, third = (entry.load() for entry in dataset)
    assert first.group == second.group != third.group
    assert first.labels == {"label": "bad"}
    assert first.concepts == {"size": 3.5}
    assert second.concepts == {}
    assert first.subgroups == {"sex": "F"}
    assert first.points == ((1, 2, 3), (4, 5, 6))
    assert third.volume.voxels[0, 0, 0] == 2
    assert [e.name for e in dataset.of_split("test")] == ["c.png"]


def test_nothing_plain_names_the_patient(tmp_path):
    dataset = open_dataset(manifest(tmp_path, "file,label,group\na.png,x,Smith\nb.png,y,Jones\n"))
    for entry in dataset:
        shown = f"{entry!r} {entry.load()!r}"
        assert "Smith" not in shown
        assert "Jones" not in shown
        assert "png" not in shown


def test_several_labels_and_views(tmp_path):
    folder = manifest(
        tmp_path,
        "file:cc,file:mlo,label:left,label:right\na.png,b.png,1,0\nb.png,c.png,10,2\n",
    )
    dataset = open_dataset(folder)
    assert dataset.label_columns == ("left", "right")
    assert dataset.classes == {"left": ("1", "10"), "right": ("0", "2")}
    case = dataset.entries[1].load()
    assert list(case.volumes) == ["cc", "mlo"]
    assert case.labels == {"left": "10", "right": "2"}


def test_without_groups_each_case_is_its_own(tmp_path):
    dataset = open_dataset(manifest(tmp_path, "file,label\na.png,x\nb.png,y\n"))
    assert len({e.group for e in dataset}) == 2
    assert not dataset.has_splits


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_and_marks(tmp_path, delimiter):
    text = "file,label\na.png,x\n\nb.png,y\n".replace(",", delimiter)
    assert len(open_dataset(manifest(tmp_path, "\ufeff" + text))) == 2


def test_stacks_and_dicom_folders_in_cells(dicom, tmp_path):
    for index in range(3):
        picture(tmp_path / "stack" / f"{index}.png", index)
    dicom.series(tmp_path / "ct" / "one")
    dicom.series(tmp_path / "ct" / "two")
    manifest(tmp_path, "file,label\nstack,x\nct/one,y\nct/two,y\n", ())
    dataset = open_dataset(tmp_path)
    stack, one, two = (entry.load() for entry in dataset)
    assert stack.volume.shape == (3, 4, 5)
    assert one.volume.shape == (5, 6, 8)
    # The patient of the DICOM header is the default group.
    assert one.group == two.group != stack.group
    assert one.group.startswith("P-")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\na.png,x\nnot.png,y\n", "Line 3: The file 'not.png' is not there"),
        ("file,label\n../a.png,x\n", "Line 2: The path '../a.png' leads out"),
        ("file,label\nb/../../a.png,x\n", "leads out"),
        ("file,label\n/etc/passwd,x\n", "leads out"),
        ("file,label\nC:\\a.png,x\n", "leads out"),
        ("file,label,split\na.png,x,train\nb.png,y,dev\n", "Line 3: The split 'dev' is unknown"),
        ("file,label\na.png,x\nb.png,\n", "Line 3: The column 'label' is empty"),
        ("file,label\n,x\n", "Line 2: names no file"),
        ("file,group\na.png,\n", "Line 2: The column 'group' is empty"),
        (
            "file,label,group,split\na.png,x,Q,train\nb.png,y,Q,test\n",
            "The group 'Q' is in both 'train' and 'test'",
        ),
        ("file,concept:d\na.png,wide\n", "Line 2: 'wide' in column 'concept:d' is not a number"),
        ("file,concept:d\na.png,nan\n", "not a number"),
        ('file,point\na.png,"1,2"\n', "Line 2: The point '1,2' is not"),
        ("file,label\na.png,x\na.png,y\n", "Line 3: is the same case as line 2"),
        ("name,label\na.png,x\n", "no column 'file'"),
        ("file,label,label\na.png,x,y\n", "'label' is there twice"),
        ("file,label\na.png,x,y\n", "Line 2: has 3 cells"),
        ("file,label\n", "no rows"),
        ("", "no column 'file'"),
    ],
)
def test_refusals_name_the_line(tmp_path, text, words):
    message = refusal(manifest(tmp_path, text))
    assert words in message
    assert "labels.csv" in message


def test_manifest_that_is_no_text(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"file,label\n\xff\xfe,x\n")
    assert "UTF-8" in refusal(tmp_path)


def test_to_predict_one_wrong_row_does_not_stop_the_rest(tmp_path):
    folder = manifest(tmp_path, "file,label\na.png,\nnot.png,y\nb.png,x\n")
    dataset = open_inputs([folder], sequences=False)
    assert [e.name for e in dataset] == ["a.png", "not.png", "b.png"]
    assert dataset.entries[0].load().labels == {}
    with pytest.raises(errors.DatasetError, match="not there"):
        dataset.entries[1].load()
    assert dataset.entries[2].load().labels == {"label": "x"}


def test_masks_of_two_values_are_zero_and_one(tmp_path):
    mask = np.zeros((4, 5), np.uint8)
    mask[1:3, 1:3] = 255
    picture(tmp_path / "m1.png", mask)
    picture(tmp_path / "m2.png", 0)
    folder = manifest(tmp_path, "file,mask\na.png,m1.png\nb.png,m2.png\n")
    dataset = open_dataset(folder)
    assert dataset.has_masks
    assert dataset.mask_labels == {1: "mask"}
    one, two = (entry.load().mask for entry in dataset)
    np.testing.assert_array_equal(one.voxels[0], mask // 255)
    assert not two.voxels.any()


def test_masks_of_two_odd_values(tmp_path):
    mask = np.full((4, 5), 3, np.uint8)
    mask[0] = 9
    picture(tmp_path / "m.png", mask)
    dataset = open_dataset(manifest(tmp_path, "file,mask\na.png,m.png\n"))
    np.testing.assert_array_equal(dataset.entries[0].load().mask.voxels[0], mask == 9)


def test_masks_of_many_values_are_labels(tmp_path):
    picture(tmp_path / "m1.png", 0)
    picture(tmp_path / "m2.png", 2)
    picture(tmp_path / "m3.png", 5)
    folder = manifest(tmp_path, "file,mask\na.png,m1.png\nb.png,m2.png\nc.png,m3.png\n")
    dataset = open_dataset(folder)
    assert dataset.mask_labels == {2: "2", 5: "5"}
    assert dataset.entries[2].load().mask.voxels.max() == 5


@pytest.mark.parametrize("names", [{"0": "background", "2": "cyst"}, {"background": 0, "cyst": 2}])
def test_names_of_mask_values(tmp_path, names):
    picture(tmp_path / "m.png", 2)
    picture(tmp_path / "n.png", 4)
    folder = manifest(tmp_path, "file,mask\na.png,m.png\nb.png,n.png\n")
    (folder / "labels.json").write_text(json.dumps(names))
    dataset = open_dataset(folder)
    assert dataset.mask_labels == {2: "cyst"}
    assert dataset.entries[0].load().mask.voxels.max() == 2
    with pytest.raises(errors.DatasetError, match="value 4"):
        dataset.entries[1].load()


def test_palette_masks_give_their_indices(tmp_path):
    mask = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), mode="P")
    mask.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    mask.save(tmp_path / "m.png")
    picture(tmp_path / "i.png", 1, (2, 2))
    dataset = open_dataset(manifest(tmp_path, "file,mask\ni.png,m.png\n", ()))
    assert dataset.entries[0].load().mask.voxels[0].tolist() == [[0, 1], [2, 1]]


def test_colour_masks_are_refused(tmp_path):
    colour = np.zeros((4, 5, 3), np.uint8)
    colour[0, 0] = (255, 0, 0)
    picture(tmp_path / "m.png", colour)
    dataset = open_dataset(manifest(tmp_path, "file,mask\na.png,m.png\n"))
    with pytest.raises(errors.DatasetError, match="colour"):
        dataset.entries[0].load()


def test_mask_of_another_size(tmp_path):
    picture(tmp_path / "m.png", 1, (4, 6))
    dataset = open_dataset(manifest(tmp_path, "file,mask\na.png,m.png\n"))
    with pytest.raises(errors.DatasetError, match="4 x 6"):
        dataset.entries[0].load()


def test_volume_masks_must_lie_on_their_image(tmp_path):
    def nifti(name, data, origin):
        affine = np.diag([1, 1, 1, 1.0])
        affine[:3, 3] = origin
        nibabel.save(nibabel.Nifti1Image(data, affine), tmp_path / name)

    image = np.zeros((4, 5, 6), np.float32)
    mask = np.zeros((4, 5, 6), np.float32)
    mask[1, 2, 3] = 1
    nifti("i.nii", image, 0)
    nifti("m.nii", mask, 0)
    nifti("moved.nii", mask, 5)
    nifti("soft.nii", mask * 0.5, 0)
    text = "file,mask\ni.nii,{}\n"
    good = open_dataset(manifest(tmp_path, text.format("m.nii"), ())).entries[0].load()
    assert good.mask.voxels[3, 2, 1] == 1
    for name, words in (("moved.nii", "grid"), ("soft.nii", "fractions")):
        dataset = open_dataset(manifest(tmp_path, text.format(name), ()))
        with pytest.raises(errors.DatasetError, match=words):
            dataset.entries[0].load()


def test_masks_of_stacks_are_stacks(tmp_path):
    for index in range(3):
        picture(tmp_path / "i" / f"{index}.png", 9)
        picture(tmp_path / "m" / f"{index}.png", 255 if index == 1 else 0)
    dataset = open_dataset(manifest(tmp_path, "file,mask\ni,m\n", ()))
    assert dataset.entries[0].load().mask.voxels.sum(axis=(1, 2)).tolist() == [0, 20, 0]


def test_masks_below_zero(tmp_path):
    image = nibabel.Nifti1Image(np.full((4, 5, 6), -1, np.int16), np.eye(4))
    nibabel.save(image, tmp_path / "m.nii")
    dataset = open_dataset(manifest(tmp_path, "file,mask\nm.nii,m.nii\n", ()))
    with pytest.raises(errors.DatasetError, match="-1"):
        dataset.entries[0].load()


def test_columns_that_are_asked_to_be_subgroups(tmp_path):
    folder = manifest(tmp_path, "file,label,site\na.png,x,north\nb.png,y,south\n")
    dataset = open_dataset(folder, subgroups=("site",))
    assert dataset.notes == ()
    assert [e.subgroups["site"] for e in dataset] == ["north", "south"]
    assert "colour" in refusal(folder, subgroups=("colour",))


def test_cases_load_from_several_threads(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    mask = np.zeros((4, 5), np.uint8)
    mask[0] = 1
    picture(tmp_path / "m.png", mask)
    dataset = open_dataset(manifest(tmp_path, "file,mask\na.png,m.png\nb.png,m.png\n"))
    with ThreadPoolExecutor(4) as pool:
        cases = list(pool.map(lambda i: dataset.entries[i % 2].load(), range(16)))
    assert all(case.mask.voxels.sum() == 5 for case in cases)


@pytest.mark.shared_data
def test_real_nodules(shared_data):
    dataset = open_dataset(shared_data("lidc_nodules"))
    assert len(dataset) == 675
    assert dataset.classes == {"label": ("benign", "malignant")}
    assert len({e.group for e in dataset}) == 396
    assert "malignancy" in dataset.notes[0]
    shapes = [entry.load().volume.shape for entry in dataset.entries[::15]]
    assert all(shape[1:] == (64, 64) and 1 <= shape[0] <= 43 for shape in shapes)


@pytest.mark.shared_data
def test_real_ultrasound(shared_data):
    dataset = open_dataset(shared_data("busi_256"))
    assert dataset.classes == {"label": ("benign", "malignant", "normal")}
    assert len(dataset.of_split("train")) == 546
    assert len(dataset.of_split("val")) == 78
    assert dataset.entries[0].load().volume.shape == (1, 256, 256)


def test_a_cell_names_one_series_of_a_folder(tmp_path, dicom):
    for number in (3, 5):

        def change(data, index, number=number):
            data.SeriesNumber, data.SeriesInstanceUID = number, f"1.2.{number}"
            data.SOPInstanceUID = f"1.2.{number}.{index}"

        dicom.series(tmp_path / "all" / str(number), count=number, change=change)
    lines = ["file,label", "all#3,a", "all#5,b", "all#9,c", "all/5,d"]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    dataset = open_dataset(tmp_path)
    assert [dataset.entries[k].load().volume.shape[0] for k in (0, 1, 3)] == [3, 5, 5]
    assert len({entry.group for entry in dataset.entries[:2]}) == 1
    with pytest.raises(errors.EmptyInput, match="no series '9'"):
        dataset.entries[2].load()
    (tmp_path / "labels.csv").write_text("file,label\nnone#3,a\n")
    with pytest.raises(errors.DatasetError, match="not there"):
        open_dataset(tmp_path)


def test_folders_named_as_windows_does(tmp_path):
    folder = manifest(tmp_path, "file,label\nin\\a.png,x\nb.png,y\n", ("in/a.png", "b.png"))
    dataset = open_dataset(folder)
    assert dataset.entries[0].load().volume.shape == (1, 4, 5)
    assert "leads out" in refusal(manifest(tmp_path, "file,label\n..\\a.png,x\n"))


def disc(folder, value, name):
    grid = np.hypot(*np.meshgrid(*[np.arange(40) - 20.0] * 2))
    picture(folder / name, ((grid < 9) * value).astype(np.uint8))


def test_masks_as_jpeg_are_two_values(tmp_path):
    folder = manifest(tmp_path, "file,mask\na.png,m.jpg\n", ())
    disc(folder, 200, "a.png")
    disc(folder, 255, "m.jpg")
    dataset = open_dataset(folder)
    assert dataset.mask_labels == {1: "mask"}
    assert dataset.entries[0].load().mask.voxels.sum() == pytest.approx(249, abs=12)
    assert any("JPEG" in note for note in dataset.notes)
    disc(folder, 90, "m.jpg")  # labels below 255 are lost
    with pytest.raises(errors.DatasetError, match="JPEG changed them"):
        open_dataset(folder).entries[0].load()


def test_smooth_masks_are_refused(tmp_path):
    folder = manifest(tmp_path, "file,mask\na.png,m.png\n", ())
    disc(folder, 200, "a.png")
    picture(folder / "m.png", np.linspace(0, 255, 1600).reshape(40, 40).astype(np.uint8))
    with pytest.raises(errors.DatasetError, match="smoothed at their edges"):
        _ = open_dataset(folder).mask_labels
