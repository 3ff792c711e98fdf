"""Hard real DICOM files: each is read right or refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from diaphane.acquire import read
from diaphane.core import errors
from diaphane.core.volume import Volume

pytestmark = pytest.mark.shared_data

LOSSY = ("4.50", "4.51", "4.53", "4.55", "4.81", "4.91")


def test_one_image_in_fifteen_transfer_syntaxes(shared_data):
    folder = shared_data("dicom_zoo") / "cornerstone_ts"
    reference = read(folder / "CTImage.dcm")
    files = sorted(folder.glob("CTImage.dcm_*"))
    assert len(files) >= 14
    for path in files:
        volume = read(path)
        assert volume.geometry.close_to(reference.geometry)
        gap = np.abs(volume.voxels.astype(float) - reference.voxels)
        if any(f".{code}.dcm" in path.name for code in LOSSY):
            assert gap.mean() < 25, path.name  # 8-bit baseline has steps of 32 HU
        else:
            np.testing.assert_array_equal(volume.voxels, reference.voxels)


def test_every_file_is_read_or_refused_by_name(shared_data):
    read_well, refused = 0, {}
    for path in sorted(shared_data("dicom_zoo").rglob("*")):
        if not path.is_file() or path.suffix in (".txt", ".json", ".md", ".bval", ".bvec"):
            continue
        try:
            volume = read(path)
        except errors.InputError as error:
            refused[path.name] = type(error)
            continue
        assert isinstance(volume, Volume)
        assert np.isfinite(volume.voxels).all()
        read_well += 1
    assert read_well >= 30
    assert refused["IM_0027_fMAP.dcm"] is errors.AmbiguousInput
    assert refused["sm_image.dcm"] is errors.NotApplicable
    assert refused["seg_image_ct_binary.dcm"] is errors.NoPixelData
    assert refused["sr_document.dcm"] is errors.NoPixelData
    assert refused["no-pixel-data.dcm"] is errors.NoPixelData
