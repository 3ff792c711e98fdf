"""Pictures and stacks of them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diaphane.acquire import read
from diaphane.core import errors

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
DEEP = (GREY.astype(np.uint16) * 200).astype(np.uint16)
RGB = np.stack([GREY, GREY // 2, 255 - GREY], axis=-1)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".PNG"])
def test_eight_bit(tmp_path, suffix):
    volume = read(save(tmp_path / f"a{suffix}", GREY))
    np.testing.assert_array_equal(volume.voxels[0], GREY)
    assert volume.geometry.spacing == (None, None, None)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit(tmp_path, suffix):
    volume = read(save(tmp_path / f"a{suffix}", DEEP))
    np.testing.assert_array_equal(volume.voxels[0], DEEP)
    assert volume.voxels.dtype == np.uint16


def test_jpeg(tmp_path):
    volume = read(save(tmp_path / "a.jpg", np.full((16, 24), 90, np.uint8), quality=95))
    assert abs(int(volume.voxels.mean()) - 90) <= 1
    assert volume.shape == (1, 16, 24)


def test_jpeg_is_turned_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.jpg", np.zeros((16, 24), np.uint8), exif=exif)
    assert read(tmp_path / "a.jpg").shape == (1, 24, 16)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colour_becomes_channels(tmp_path, mode):
    picture = Image.fromarray(RGB)
    picture = picture.quantize(200) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    volume = read(tmp_path / "a.png")
    assert volume.voxels.shape == (3, 1, 6, 8)
    if mode != "P":
        np.testing.assert_array_equal(volume.voxels[:, 0], np.moveaxis(RGB, -1, 0))


def test_grey_with_transparency_is_grey(tmp_path):
    Image.fromarray(GREY).convert("LA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png").voxels[0], GREY)


def test_black_and_white(tmp_path):
    Image.fromarray(GREY > 100).save(tmp_path / "a.png")
    assert set(np.unique(read(tmp_path / "a.png").voxels)) == {0, 255}


def test_sixteen_bit_colour_is_not_cut(tmp_path):
    import SimpleITK as sitk

    deep = np.stack([DEEP, DEEP // 2, DEEP // 3], axis=-1)
    sitk.WriteImage(sitk.GetImageFromArray(deep, isVector=True), str(tmp_path / "a.png"))
    np.testing.assert_array_equal(read(tmp_path / "a.png").voxels[:, 0], np.moveaxis(deep, -1, 0))


def test_pages_of_a_tiff_are_slices(tmp_path):
    pages = [Image.fromarray(GREY + np.uint8(i)) for i in range(4)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    volume = read(tmp_path / "a.tif")
    assert volume.shape == (4, 6, 8)
    np.testing.assert_array_equal(volume.voxels[3], GREY + 3)


def test_pages_of_two_sizes(tmp_path):
    pages = [Image.fromarray(GREY), Image.fromarray(GREY[:4])]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(errors.GeometryError):
        read(tmp_path / "a.tif")


def test_stack_is_in_natural_order(tmp_path):
    for index in (1, 2, 10, 9):
        save(tmp_path / f"slice{index}.png", np.full((3, 4), index, np.uint8))
    (tmp_path / "Thumbs.db").write_bytes(b"x")
    save(tmp_path / ".hidden.png", np.zeros((9, 9), np.uint8))
    assert read(tmp_path).voxels[:, 0, 0].tolist() == [1, 2, 9, 10]


def test_large_stacks_are_read_in_threads_in_order(tmp_path):
    for index in range(40):
        save(tmp_path / f"{index}.png", np.full((3, 4), index, np.uint8))
    assert read(tmp_path).voxels[:, 0, 0].tolist() == list(range(40))


def test_slices_of_two_sizes(tmp_path):
    save(tmp_path / "1.png", GREY)
    save(tmp_path / "2.png", GREY[:4])
    with pytest.raises(errors.GeometryError, match="Slices differ"):
        read(tmp_path)


def test_grey_and_colour_slices(tmp_path):
    save(tmp_path / "1.png", GREY)
    save(tmp_path / "2.png", RGB)
    with pytest.raises(errors.GeometryError, match="colour"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_truncated(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    path = save(tmp_path / f"a{suffix}", noise)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(errors.UnreadableFile):
        read(path)


def test_not_a_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(b"words")
    with pytest.raises(errors.UnreadableFile):
        read(tmp_path / "a.png")


def test_bomb(tmp_path):
    import struct
    import zlib

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body)
    (tmp_path / "a.png").write_bytes(content + chunk(b"IEND", b""))
    with pytest.raises(errors.UnreadableFile):
        read(tmp_path / "a.png")


def test_floating_point_must_be_finite(tmp_path):
    pixels = np.zeros((4, 4), np.float32)
    save(tmp_path / "a.tif", pixels)
    assert read(tmp_path / "a.tif").voxels.dtype == np.float32
    pixels[1, 1] = np.inf
    save(tmp_path / "b.tif", pixels)
    with pytest.raises(errors.InvalidVoxels):
        read(tmp_path / "b.tif")


def test_unknown_and_empty_files(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"words")
    with pytest.raises(errors.UnreadableFile, match="format"):
        read(tmp_path / "a.xyz")
    (tmp_path / "b").write_bytes(b"")
    with pytest.raises(errors.EmptyInput):
        read(tmp_path / "b")
