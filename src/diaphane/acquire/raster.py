"""Pictures (PNG, JPEG, TIFF, BMP), and folders of them as stacks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diaphane.acquire.bounds import LIMITS, require_proportion, stored_bytes
from diaphane.acquire.isolation import Budget, Load, isolated
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import (
    EmptyInput,
    GeometryError,
    InputError,
    OverLimit,
    UnreadableFile,
)
from diaphane.core.geometry import Geometry
from diaphane.core.options import Limits
from diaphane.core.volume import Volume

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

PRELOADED = ("PIL.TiffImagePlugin", "PIL.JpegImagePlugin", "PIL.PngImagePlugin")
MAX_PIXELS = 400_000_000
_LARGE = 4_000_000  # pixels; from here a worker process costs little
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "DIB")
_SIMPLEITK = 512 * 2**20  # address space that loading it takes
_THREADS_FROM = 32  # below this many slices, threads cost more than they bring

Array = NDArray[Any]


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``2`` comes before ``10``."""
    parts = re.split(r"(\d+)", name.casefold())
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts if p)


def is_raster(path: Path) -> bool:
    """Whether the name is that of a picture."""
    return path.suffix.lower() in SUFFIXES


def read_raster(path: Path, *, indices: bool = False, limits: Limits = LIMITS) -> Volume:
    """The picture as a volume: grey ``(1, y, x)``, colour ``(3, 1, y, x)``.

    Pages of a TIFF are slices. Spacing is ``None``: dots per inch say nothing of the patient.
    8 and 16 bit are kept; transparency is left out; palettes become RGB.

    Parameters
    ----------
    path:
        A PNG, JPEG, TIFF or BMP file.
    indices:
        Palette pictures give their indices instead (label maps).
    limits:
        Bounds of reading.

    Raises
    ------
    UnreadableFile
        When it is damaged or cut short.
    OverLimit
        When it is larger than 400 megapixels, or would grow out of proportion.
    GeometryError
        When pages of a TIFF have different sizes.
    """
    pages = _pages(path, limits, indices=indices)
    first = pages[0]
    if any(page.shape != first.shape for page in pages):
        raise GeometryError("Pages have different sizes or kinds of pixel.", path=path)
    voxels = np.stack(pages) if len(pages) > 1 else first[None]
    if voxels.ndim == 4:
        voxels = np.ascontiguousarray(np.moveaxis(voxels, -1, 0))
    z, y, x = voxels.shape[-3:]
    return Volume(voxels, Geometry((z, y, x))).require_finite(str(path))


def read_stack(
    folder: Path,
    files: Sequence[Path] | None = None,
    *,
    indices: bool = False,
    limits: Limits = LIMITS,
) -> Volume:
    """The pictures of a folder, in natural order of their names, as one stack.

    Raises
    ------
    EmptyInput
        When there are none.
    GeometryError
        When their sizes or kinds of pixel differ.
    UnreadableFile
        When one of them is damaged.
    """
    found = list(files) if files is not None else slices_of(folder)
    if not found:
        raise EmptyInput("There are no pictures here.", path=folder)

    def load(path: Path) -> Array:
        return read_raster(path, indices=indices, limits=limits).voxels

    if len(found) < _THREADS_FROM:
        pages = [load(path) for path in found]
    else:
        from diaphane.acquire.pixels import default_threads

        with ThreadPoolExecutor(default_threads()) as pool:
            pages = list(pool.map(load, found))
    first = pages[0]
    for path, page in zip(found, pages, strict=True):
        same = page.ndim == first.ndim and page.shape[-2:] == first.shape[-2:]
        if not same or page.dtype != first.dtype:
            raise GeometryError(
                f"Slices differ: {found[0].name} is {_size(first)}, {path.name} is {_size(page)}.",
                path=folder,
                remedy="All slices of a stack have one size and one kind of pixel.",
            )
    voxels = np.concatenate(pages, axis=-3)
    z, y, x = voxels.shape[-3:]
    return Volume(voxels, Geometry((z, y, x)))


def slices_of(folder: Path) -> list[Path]:
    """Pictures directly in ``folder``, in natural order; hidden files are left out."""
    found = [p for p in folder.iterdir() if is_raster(p) and not p.name.startswith(".")]
    return sorted((p for p in found if p.is_file()), key=lambda p: natural(p.name))


def _size(voxels: Array) -> str:
    y, x = voxels.shape[-2:]
    colour = " colour" if voxels.ndim == 4 else ""
    return f"{x} x {y}{colour} {voxels.dtype}"


def _pages(path: Path, limits: Limits, *, indices: bool) -> list[Array]:
    """The pages; in a worker process where a native decoder could be led astray."""
    stored = stored_bytes(path)
    with _opened(path) as image:
        _require_size(image, path, stored, limits)
        doubtful = image.format not in ("PNG", "BMP", "JPEG") or "progressive" in image.info
        if not (doubtful or image.width * image.height > _LARGE or _is_deep_colour(image, path)):
            return [_pixels(image, indices=indices)]
        one = 4 * image.width * image.height
    budget = Budget.of(Load(one, one + 20 * stored, stored, _SIMPLEITK), limits)
    told = {"indices": indices, "stored": stored, "limits": asdict(limits)}
    return [page for _, page in isolated(pages_of, path, budget, **told)]


def pages_of(
    path: Path, indices: bool, stored: int, limits: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], Array]]:
    """Pages of a picture, as a task of a worker process."""
    total, bounds = 0, Limits(**limits)
    with _opened(path) as image:
        if _is_deep_colour(image, path):
            yield {}, _deep_colour(path)
            return
        for number in range(getattr(image, "n_frames", 1) if image.format == "TIFF" else 1):
            image.seek(number)
            _require_size(image, path, stored, bounds)
            page = _pixels(image, indices=indices)
            total += page.nbytes
            require_proportion(path, total, stored, bounds)
            yield {}, page


def _require_size(image: Any, path: Path, stored: int, limits: Limits) -> None:
    pixels, most = image.width * image.height, min(MAX_PIXELS, limits.pixels)
    if pixels > most:
        raise OverLimit(f"The picture has more than {most} pixels.", path=path)
    require_proportion(path, pixels * len(image.getbands()), stored, limits)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The picture; what Pillow raises, then and inside the block, as a refusal."""
    from PIL import Image, UnidentifiedImageError

    try:
        # By name Pillow would also open what runs other programs.
        with quiet(), Image.open(path, formats=_FORMATS) as image:
            yield image
    except InputError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UnreadableFile("This is not a picture that can be read.", path=path) from error
    except Exception as error:  # Pillow raises whatever damaged data make it meet
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableFile(
            f"The picture is damaged ({reason}).", path=path, remedy="Copy or export it again."
        ) from error


def _pixels(image: Any, *, indices: bool) -> Array:
    from PIL import ImageOps

    if image.format == "JPEG" and image.getexif().get(0x0112, 1) != 1:
        image = ImageOps.exif_transpose(image)
    mode = image.mode
    if mode == "P":
        return np.array(image if indices else image.convert("RGB"))
    if mode in ("L", "I", "F", "RGB") or mode.startswith("I;16"):
        pixels = np.array(image)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if mode in ("1", "LA", "La"):
        return np.array(image.convert("L"))
    return np.array(image.convert("RGB"))


def _is_deep_colour(image: Any, path: Path) -> bool:
    """Whether this is a 16-bit colour PNG, which Pillow would cut to 8 bit in silence."""
    if image.format != "PNG" or image.mode not in ("RGB", "RGBA"):
        return False
    with path.open("rb") as stream:
        start = stream.read(26)
    return len(start) == 26 and start[24] == 16


def _deep_colour(path: Path) -> Array:
    import SimpleITK as sitk

    pixels = np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
    return np.ascontiguousarray(pixels.reshape(*pixels.shape[-3:])[..., :3])
