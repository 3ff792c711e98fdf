"""``diaphane demo``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diaphane.cli.analyze import summary, summary_lines
from diaphane.cli.console import (
    DONE,
    NOTHING_DONE,
    JsonFlag,
    QuietFlag,
    Seed,
    Threads,
    progress_bar,
    say,
    say_json,
    verb,
    warn,
)
from diaphane.cli.learning_demo import DEMO_TIME, Asked, learning_demo

if TYPE_CHECKING:
    from diaphane.acquire.phantom import Kind, Nodule, Phantom
    from diaphane.core.finding import Analysis

PLANTED: tuple[tuple[float, Kind], ...] = (
    (16.0, "free"),
    (11.0, "pleural"),
    (8.0, "mediastinal"),
    (7.0, "vascular"),
)
"""Diameter in mm and kind of the nodules in the demo's chest."""

_REACH_MM = 3.0  # from the outline of a finding to the centre of what was planted


@verb
def demo(
    *,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the scan and the results.")
    ] = Path("diaphane-demo"),
    learn: Annotated[
        bool, typer.Option("--learn", help="Train and judge a model on made-up pictures instead.")
    ] = False,
    time_budget: Annotated[
        str, typer.Option("--time-budget", help="Time of that training.", metavar="TIME")
    ] = DEMO_TIME,
    seed: Seed = 0,
    threads: Threads = None,
    quiet: QuietFlag = False,
    as_json: JsonFlag = False,
) -> int:
    """The whole way on a chest CT that it makes itself.

    Writes DIR/scan (a DICOM series with known nodules) and DIR/result, and checks that what
    was planted was found. With --learn, DIR/dataset, DIR/run and DIR/evaluation: 80 labelled
    pictures, a model trained on them, and its judgement, in about three minutes on two cores.
    """
    if learn:
        return learning_demo(Asked(out, seed, threads, time_budget, quiet, as_json))
    from diaphane import apps
    from diaphane.acquire.phantom import chest_phantom

    scan, result = out / "scan", out / "result"
    _require_free(scan)
    with progress_bar(quiet=quiet, as_json=as_json) as progress:
        progress("phantom", 0.0)
        phantom = chest_phantom(seed, nodules=PLANTED)
        _write_scan(phantom, scan)
        found = apps.analyze(
            scan,
            "lung-ct",
            result,
            threads=threads,
            progress=lambda stage, share: progress(stage, 0.3 + 0.7 * share),
        )
    missed = [nodule for nodule in phantom.nodules if not is_found(nodule, found)]
    hits = len(phantom.nodules) - len(missed)
    if as_json:
        checked = {"planted": len(phantom.nodules), "found": hits, "scan": str(scan)}
        say_json({**summary(found, result), **checked})
    else:
        say(f"Scan: {scan} (generated, seed {seed})", quiet=quiet)
        for line in summary_lines(found, result):
            say(line, quiet=quiet)
        say(f"Check: {hits} of {len(phantom.nodules)} planted nodules found", quiet=quiet)
    if missed:
        sizes = ", ".join(f"{n.diameter_mm:.0f} mm {n.kind}" for n in missed)
        warn(f"diaphane: planted but not found: {sizes}")
        return NOTHING_DONE
    return DONE


def _require_free(folder: Path) -> None:
    """Refuse to replace anything but an earlier demo's scan."""
    from diaphane.core.errors import UsageError

    if not folder.exists():
        return
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else [folder.name]
    if not all(name.startswith("IMG") and name.endswith(".dcm") for name in names):
        raise UsageError(
            "There is something else where the demo's scan would go.",
            path=folder,
            remedy="Give another --out folder.",
        )


def _write_scan(phantom: Phantom, folder: Path) -> None:
    """The phantom as a DICOM series, in one step."""
    from diaphane.acquire.phantom import write_dicom_series
    from diaphane.core.files import replacing

    with replacing(folder) as beside:
        write_dicom_series(phantom, beside)


def is_found(nodule: Nodule, analysis: Analysis) -> bool:
    """Whether a finding lies where a nodule was planted: its mask within reach of the centre."""
    import numpy as np

    if analysis.labels is None:
        return False
    geometry = analysis.volume.geometry
    centre = geometry.to_index(nodule.centre)
    reach = np.asarray([_REACH_MM / step for step in geometry.spacing_mm])
    box = tuple(
        slice(max(0, int(np.floor(c - r))), int(np.ceil(c + r)) + 1)
        for c, r in zip(centre, reach, strict=True)
    )
    near = {int(value) for value in np.unique(analysis.labels[box])}
    return any(finding.mask_label in near for finding in analysis.findings)
