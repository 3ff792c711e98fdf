"""Cuttings of openly licensed pictures for ``benchmarks/text_detector.py``, as one ``.npz``.

    python benchmarks/text_grounds.py --data ../shared/data --out text_grounds.npz

Taken: the CT and MR of TotalSegmentator's example (Apache-2.0), CT slices that come with
cornerstoneWADOImageLoader (MIT) and pydicom (MIT), nodules of LIDC-IDRI (CC BY 3.0), and
textures, moon and stars of scikit-image (CC0 or public domain). None of them is among the pictures that the finder is judged on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def bytes_of(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Over the usual range, 0 to 255."""
    low, high = np.percentile(values, (0.5, 99.8))
    return np.asarray(np.clip((values - low) / (high - low), 0, 1) * 255, np.uint8)


def slices(data: Path) -> dict[str, NDArray[Any]]:
    """CT slices of 512 x 512, HU."""
    from pydicom import dcmread
    from pydicom.data import get_testdata_file

    zoo = data / "dicom_zoo" / "cornerstone_ts"
    shoulder = "CTImage.dcm_JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91.dcm"
    paths = [zoo / name for name in (shoulder, "CT1_J2KR", "CT2_J2KR")]
    found = {}
    for path in (*paths, Path(str(get_testdata_file("693_J2KI.dcm")))):
        image = dcmread(path)
        values = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
        found[f"ct {path.name[:8]}"] = values.astype(np.int16)[None]
    return found


def main() -> None:
    """Collect and write."""
    import nibabel
    from PIL import Image
    from skimage import data as shown

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    example = given.data / "totalsegmentator_example"

    def volume(path: Path) -> NDArray[Any]:
        image: Any = nibabel.load(path)
        return np.ascontiguousarray(np.asarray(image.dataobj).T[:, ::-1])

    body = volume(example / "example_ct.nii.gz").astype(np.int16)
    kept: dict[str, Any] = {
        "ct body volume": body,
        "ct body again volume": body,
        **slices(given.data),
    }
    kept["mr body volume"] = bytes_of(volume(example / "example_mr_sm.nii.gz"))
    nodules = sorted((given.data / "lidc_nodules" / "images").rglob("*.png"))[::10][:250]
    kept["nodules"] = np.stack([np.asarray(Image.open(path).convert("L")) for path in nodules])
    for name in ("brick", "grass", "gravel", "moon"):
        kept[name] = getattr(shown, name)()[None]
    kept["stars"] = bytes_of(shown.hubble_deep_field().mean(-1))[None, :512, :512]
    np.savez_compressed(given.out, **kept)


if __name__ == "__main__":
    main()
