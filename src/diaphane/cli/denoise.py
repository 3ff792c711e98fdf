"""``diaphane denoise``: take noise off one image, and show what was taken."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diaphane.cli.console import (
    JsonFlag,
    QuietFlag,
    Spacing,
    Threads,
    Tilt,
    Units,
    read_options,
    say,
    say_json,
    verb,
)

if TYPE_CHECKING:
    from diaphane.core.volume import Volume
    from diaphane.preprocess import NoiseFigures


class Method(StrEnum):
    """How noise is taken off."""

    median = "median"
    gaussian = "gaussian"
    nlm = "nlm"
    tv = "tv"


@verb
def denoise(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="Any image, volume or DICOM series.")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .nii.gz, .nii, .mha, .nrrd or .png file.")
    ],
    *,
    method: Annotated[
        Method, typer.Option(help="nlm: non-local means; tv: total variation.")
    ] = Method.nlm,
    strength: Annotated[
        float | None,
        typer.Option(
            help="median: pixels across (3); gaussian: sigma in pixels (1); "
            "nlm (0.8) and tv (1): in units of the estimated noise."
        ),
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="Which DICOM series, by UID or number.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Before, after and difference, as .png.")
    ] = None,
    figures: Annotated[bool, typer.Option("--figures", help="Print noise figures.")] = False,
    reference: Annotated[
        Path | None, typer.Option(help="Noise-free image; adds PSNR and SSIM to the figures.")
    ] = None,
    tilt: Tilt = None,
    spacing: Spacing = None,
    units: Units = None,
    threads: Threads = None,
    as_json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Take noise off an image, slice by slice.

    Voxels that are whole numbers stay whole numbers.
    """
    from diaphane.acquire import read
    from diaphane.core.errors import UsageError
    from diaphane.preprocess import noise_figures, volume_format, write_volume
    from diaphane.preprocess.guard import refuse_overwriting
    from diaphane.preprocess.picture import noise_picture, write_picture

    refuse_overwriting([out, picture], [source, reference])
    volume_format(out)
    if picture is not None and picture.suffix.lower() != ".png":
        raise UsageError("A picture is written as .png.", path=picture)
    noisy = read(source, series=series, options=read_options(tilt, spacing, units))
    truth = None if reference is None else read(reference)
    began = time.perf_counter()
    clean = _denoise(noisy, method, strength, threads)
    seconds = time.perf_counter() - began
    found = noise_figures(noisy, clean, truth) if figures or truth is not None else None
    write_volume(out, clean)
    if picture is not None:
        write_picture(picture, noise_picture(noisy, clean))
    if as_json:
        say_json(
            {
                "out": str(out),
                "method": method.value,
                "seconds": seconds,
                "unit": noisy.unit,
                "figures": None if found is None else found.to_dict(),
            }
        )
        return
    say(f"{method.value} in {seconds:.2f} s; written to {out}", quiet=quiet)
    if found is not None:
        for line in _lines(found, "" if noisy.unit == "1" else f" {noisy.unit}"):
            say(line, quiet=quiet)


def _denoise(noisy: Volume, method: Method, strength: float | None, threads: int | None) -> Volume:
    from diaphane.preprocess import make_step, voxels_like

    key = {"median": "size", "gaussian": "sigma"}.get(method.value, "strength")
    parameters = {} if strength is None else {key: strength}
    step = make_step(f"denoise_{method.value}", parameters)
    return voxels_like(step.apply(noisy, None, threads).volume, noisy)


def _lines(found: NoiseFigures, unit: str) -> list[str]:
    lines = [
        f"noise (estimated): {found.sigma_before:.4g}{unit} before, {found.sigma_after:.4g}{unit} after",
        f"taken away: {found.removed:.4g}{unit} (standard deviation)",
        f"structure in what was taken: {found.residual_structure:.2f} (0: noise only, 1: anatomy)",
    ]
    if found.psnr_before is not None and found.psnr_after is not None:
        lines.append(f"PSNR: {found.psnr_before:.2f} dB before, {found.psnr_after:.2f} dB after")
    if found.ssim_before is not None and found.ssim_after is not None:
        lines.append(f"SSIM: {found.ssim_before:.4f} before, {found.ssim_after:.4f} after")
    return lines
