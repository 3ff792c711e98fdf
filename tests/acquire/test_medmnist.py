"""MedMNIST archives."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from diaphane.acquire import open_dataset, open_inputs
from diaphane.core import errors


def archive(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_grey(tmp_path):
    images = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    path = archive(
        tmp_path / "x.npz",
        train_images=images,
        train_labels=np.array([[0], [2], [10]]),
        test_images=images[:1],
        test_labels=np.array([[2]]),
    )
    dataset = open_dataset(path)
    assert dataset.kind == "medmnist"
    assert [e.name for e in dataset] == ["train/0", "train/1", "train/2", "test/0"]
    assert dataset.classes == {"label": ("0", "2", "10")}
    case = dataset.entries[1].load()
    np.testing.assert_array_equal(case.volume.voxels, images[1:2])
    assert case.labels == {"label": "2"}
    assert case.split == "train"
    assert open_dataset(tmp_path).kind == "medmnist"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 28, 28, 3), (3, 1, 28, 28)),
        ((2, 16, 28, 30), (16, 28, 30)),
        ((2, 8, 9, 10, 3), (3, 8, 9, 10)),
    ],
)
def test_colour_and_volumes(tmp_path, shape, expected):
    path = archive(
        tmp_path / "x.npz", val_images=np.zeros(shape, np.uint8), val_labels=np.zeros(2, int)
    )
    assert open_dataset(path).entries[0].load().volume.voxels.shape == expected


def test_several_labels(tmp_path):
    path = archive(
        tmp_path / "x.npz",
        train_images=np.zeros((2, 4, 4), np.uint8),
        train_labels=np.array([[0, 1, 1], [1, 0, 1]]),
    )
    dataset = open_dataset(path)
    assert dataset.label_columns == ("0", "1", "2")
    assert dataset.entries[0].labels == {"0": "0", "1": "1", "2": "1"}


def test_without_labels_only_to_predict(tmp_path):
    path = archive(tmp_path / "x.npz", test_images=np.zeros((2, 4, 4), np.uint8))
    with pytest.raises(errors.DatasetError, match="without labels"):
        open_dataset(path)
    assert len(open_inputs([path], sequences=False)) == 2


def test_objects_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (print, ("unpickled",))

    path = tmp_path / "x.npz"
    np.savez(path, train_images=np.array([Trap(), Trap()], dtype=object), train_labels=[0, 1])
    with pytest.raises(errors.DatasetError, match="Python objects"):
        open_dataset(path)
    np.savez(
        path,
        train_images=np.zeros((2, 4, 4), np.uint8),
        train_labels=np.array([Trap(), Trap()], dtype=object),
    )
    with pytest.raises(errors.DatasetError, match="Python objects"):
        open_dataset(path)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((2, 4, 4))}, "no train_images"),
        ({"train_images": np.zeros((2, 4, 4)), "train_labels": np.zeros(3, int)}, "2 train images"),
        ({"train_images": np.zeros((2, 4)), "train_labels": np.zeros(2, int)}, "shape"),
        ({"train_images": np.zeros((2, 4, 4)), "train_labels": np.zeros(2)}, "labels of train"),
    ],
)
def test_refusals(tmp_path, arrays, words):
    with pytest.raises(errors.DatasetError, match=words):
        open_dataset(archive(tmp_path / "x.npz", **arrays))


def test_not_a_number(tmp_path):
    images = np.full((1, 4, 4), np.nan)
    path = archive(tmp_path / "x.npz", train_images=images, train_labels=[0])
    with pytest.raises(errors.InvalidVoxels):
        open_dataset(path).entries[0].load()


def test_garbage_and_truncation(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"words")
    with pytest.raises(errors.DatasetError, match="npz"):
        open_dataset(path)
    archive(path, train_images=np.zeros((2, 4, 4)), train_labels=[0, 1])
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(errors.DatasetError):
        open_dataset(path)


def test_bomb_is_refused_before_it_is_read(tmp_path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": (300, 1024, 1024)}
    )
    path = tmp_path / "x.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made,
        made.open("train_images.npy", "w", force_zip64=True) as stream,
    ):
        stream.write(head.getvalue())
        for _ in range(300):
            stream.write(bytes(2**20))
    with pytest.raises(errors.DatasetError, match="grows from"):
        open_dataset(path)


def test_shape_that_does_not_fit_its_bytes(tmp_path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1024, 1024)}
    )
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("train_images.npy", head.getvalue() + bytes(100))
    with pytest.raises(errors.DatasetError, match="declares"):
        open_dataset(path)


@pytest.mark.shared_data
def test_real_breast(shared_data):
    dataset = open_dataset(shared_data("breastmnist") / "breastmnist.npz")
    assert len(dataset.of_split("train")) == 546
    assert len(dataset.of_split("val")) == 78
    assert dataset.classes == {"label": ("0", "1")}
    assert dataset.entries[600].load().volume.shape == (1, 28, 28)


def test_a_part_without_images_is_absent(tmp_path):
    path = archive(
        tmp_path / "x.npz",
        train_images=np.zeros((2, 28, 28), np.uint8),
        train_labels=np.array([0, 1]),
        val_images=np.zeros((0, 28, 28), np.uint8),
        val_labels=np.zeros(0, np.uint8),
    )
    assert [e.split for e in open_dataset(path)] == ["train", "train"]
