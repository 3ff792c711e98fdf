"""What every verb shares: options, progress, and errors as exit codes."""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from diaphane.core.errors import DiaphaneError
from diaphane.core.options import AS_IS, ReadOptions
from diaphane.core.protocols import Progress, silent
from diaphane.core.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from diaphane.batch import Refusal
    from diaphane.core.evaluation import Interval

P = ParamSpec("P")
_LEFT = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Threads = Annotated[
    int | None, typer.Option("--threads", min=1, help="Compute threads (default: all cores).")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of all randomness.")]
BundleName = Annotated[str, typer.Argument(metavar="BUNDLE", help="Name, folder or zip.")]
Labelled = Annotated[str, typer.Argument(metavar="DATASET", help="A labelled data set.")]
Positive = Annotated[
    str | None, typer.Option("--positive", help="The positive class.", metavar="CLASS")
]
Seg = Annotated[
    str | None,
    typer.Option(
        "--seg", help="Kind of DICOM Segmentations: binary (default) or labelmap.", metavar="KIND"
    ),
]
Overlap = Annotated[
    float | None,
    typer.Option("--overlap", help="Shared part of neighbouring windows, 0 to below 1."),
]
Mirror = Annotated[
    bool | None,
    typer.Option("--mirror/--no-mirror", help="Average over mirrored windows (slower)."),
]
Memory = Annotated[
    int, typer.Option("--memory", min=1, help="Bound in MB when segmenting.", metavar="MB")
]
Concepts = Annotated[
    list[str] | None,
    typer.Option("--concept", help="A 'concept:' column that enters; repeatable."),
]
GroupRegex = Annotated[
    str | None,
    typer.Option(
        "--group-regex",
        help="What in a case's name is its patient: the first capture group, or the whole match.",
        metavar="REGEX",
    ),
]


class Lang(StrEnum):
    """Language of the report."""

    en = "en"
    zh = "zh"


ReportLang = Annotated[Lang, typer.Option("--lang", help="Language of the report.")]


class Layout(StrEnum):
    """How a folder of images is read."""

    stack = "stack"
    images = "images"


ReadAs = Annotated[
    Layout | None,
    typer.Option("--as", help="Read a folder of images as one stack, or one by one."),
]


def stack_of(layout: Layout | None) -> bool | None:
    """Whether a folder of images is one stack; ``None`` when nobody said."""
    return None if layout is None else layout is Layout.stack


class Mend(StrEnum):
    """What becomes of slices that form no upright, even grid."""

    refuse = "refuse"
    resample = "resample"


class Measure(StrEnum):
    """What PET values are read as."""

    stored = "stored"
    suv = "suv"
    suv_lbm = "suv-lbm"
    suv_bsa = "suv-bsa"


Tilt = Annotated[
    Mend | None,
    typer.Option(
        "--tilt", help="Slices sheared by a tilted gantry: resample, or refuse (default)."
    ),
]
Spacing = Annotated[
    Mend | None,
    typer.Option("--spacing", help="Slices at uneven distances: resample, or refuse (default)."),
]
Units = Annotated[
    Measure | None,
    typer.Option(
        "--units",
        help="Values of DICOM PET: as stored (default), or SUV by body weight, lean body mass or "
        "surface; refused where the header does not allow it.",
    ),
]


def read_options(
    tilt: Mend | None, spacing: Mend | None, units: Measure | None = None, like: ReadOptions = AS_IS
) -> ReadOptions:
    """What the options of a verb say of reading DICOM.

    What nobody said is as in ``like``: a model's cases are read as those that it learned from.
    """
    return ReadOptions.of(
        like.tilt if tilt is None else tilt.value,
        like.spacing if spacing is None else spacing.value,
        like.units if units is None else units.value,
    )


def said_reading(tilt: Mend | None, spacing: Mend | None, units: Measure | None) -> dict[str, str]:
    """What the options of a verb say of reading DICOM, by the keys of a plan."""
    said = {"tilt": tilt, "spacing": spacing, "units": units}
    return {key: value.value for key, value in said.items() if value is not None}


DONE, SOME_REFUSED, WRONG_USAGE, NOTHING_DONE, INTERRUPTED = 0, 1, 2, 3, 130


class Settings:
    """Set once by the options before the verb."""

    debug = False


def show_error(error: DiaphaneError, *, as_json: bool = False) -> None:
    """One line on standard error; with ``as_json`` an object on standard output as well."""
    if as_json:
        say_json(
            {
                "error": error.code,
                "problem": error.problem,
                "path": error.path,
                "remedy": error.remedy,
            }
        )
    warn(f"diaphane: {error}")


def verb(function: Callable[P, int | None]) -> Callable[P, None]:
    """Turn a function into a command: errors become a line and an exit code.

    The function returns its exit code, ``None`` meaning 0. Without ``--debug`` no traceback
    is ever shown.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = function(*args, **kwargs) or DONE
        except DiaphaneError as error:
            if Settings.debug:
                raise
            show_error(error, as_json=bool(kwargs.get("as_json")))
            code = error.exit_code
        except KeyboardInterrupt:
            if Settings.debug:
                raise
            warn("diaphane: interrupted; nothing half-written is left.")
            code = INTERRUPTED
        except MemoryError:
            warn("diaphane: out of memory. Try a smaller input or fewer threads.")
            code = NOTHING_DONE
        except Exception as error:
            if Settings.debug:
                raise
            warn(
                f"diaphane: unexpected {type(error).__name__}: {error}. "
                "This is a defect of diaphane; run again with --debug before the verb "
                "and report it."
            )
            code = NOTHING_DONE
        raise typer.Exit(code)

    return run


def say(text: str, *, quiet: bool = False) -> None:
    """Print a line unless quiet; control characters from files are written out."""
    if not quiet:
        typer.echo(printable(text, lines=True))


def warn(text: str) -> None:
    """A line on standard error, as harmless as :func:`say` makes it."""
    typer.echo(printable(text, lines=True), err=True)


def say_json(data: Any) -> None:
    """Print one JSON object; NaN is not JSON and is refused."""
    text = json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False)
    # What is left of control characters stands within strings, where JSON has its own escape.
    typer.echo(_LEFT.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def tell_refused(refused: Sequence[Refusal], listed: Path | None, *, done: bool) -> int:
    """Say on standard error which inputs were refused; returns the exit code."""
    for refusal in refused[:5]:
        then = f" {refusal.remedy}" if refusal.remedy else ""
        warn(f"diaphane: refused {refusal.file}: {refusal.problem}{then}")
    if not refused:
        return DONE
    warn(f"diaphane: {len(refused)} refused, see {listed}")
    return SOME_REFUSED if done else NOTHING_DONE


def figure_words(figure: Interval, sign: str = "") -> str:
    """A figure with its interval, as the terminal shows it; ``sign`` is "+" for differences."""
    if figure.value is None:
        return "undefined"
    value = f"{figure.value:{sign}.3f}"
    if figure.low is None or figure.high is None:
        return value
    return f"{value} ({figure.low:{sign}.3f} to {figure.high:{sign}.3f})"


def aligned(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, the first to the left, wider than the terminal if need be."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        say("  ".join(cells))


@contextmanager
def progress_bar(*, quiet: bool = False, as_json: bool = False) -> Iterator[Progress]:
    """Yield a :data:`Progress`; a bar is drawn only when a person is watching.

    The bar appears after two seconds, so that short work leaves no trace.
    """
    if quiet or as_json or not sys.stderr.isatty():
        yield silent
        return
    import time

    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    began = time.monotonic()
    task = bar.add_task("", total=1.0)
    shown = False

    def show(stage: str, share: float) -> None:
        nonlocal shown
        if not shown and time.monotonic() - began > 2:
            bar.start()
            shown = True
        bar.update(task, description=stage.replace("_", " "), completed=share)

    try:
        yield show
    finally:
        if shown:
            bar.stop()
