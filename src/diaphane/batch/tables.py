"""The CSV files of ``predict`` and ``evaluate``, and the list of refused inputs beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from diaphane.bundle import Manifest, Prediction
from diaphane.core.errors import DiaphaneError, OutputError
from diaphane.core.files import replacing
from diaphane.core.tables import write_table

REJECTED = "rejected.csv"


@dataclass(frozen=True)
class Refusal:
    """An input that could not be used: its name as typed, the error's code, and what to do."""

    file: str
    error: str
    problem: str
    remedy: str = ""

    @classmethod
    def of(cls, file: str, error: BaseException) -> Refusal:
        """The refusal that an error stands for."""
        if isinstance(error, DiaphaneError):
            where = f"{error.path}: " if error.path and error.path != file else ""
            return cls(file, error.code, where + error.problem, error.remedy or "")
        return cls(file, type(error).__name__, f"Unexpected: {error}")


def columns(manifest: Manifest, *, contributions: bool = False) -> tuple[str, ...]:
    """Header of ``predict``'s CSV.

    ``file``, ``probability:CLASS`` per class, ``prediction_set``, ``unlike_training``; with
    contributions ``logit`` and ``contribution:PART``, or with several logits ``logit:CLASS``
    and ``contribution:CLASS:PART``, where PART is bias, image, or a concept.
    """
    names = ["file", *(f"probability:{c}" for c in manifest.classes)]
    names += ["prediction_set", "unlike_training"]
    if contributions:
        parts = ("bias", "image", *manifest.input.concept_names)
        marks = [""] if manifest.task == "binary" else [f":{c}" for c in manifest.targets]
        names += [f"logit{mark}" for mark in marks]
        names += [f"contribution{mark}:{part}" for mark in marks for part in parts]
    return tuple(names)


def cells(
    manifest: Manifest, name: str, found: Prediction, *, contributions: bool = False
) -> list[str]:
    """One row under :func:`columns`."""
    row = [name, *(repr(found.probability[c]) for c in manifest.classes)]
    row += ["|".join(found.prediction_set), str(int(found.unlike_training))]
    if contributions:
        row += [repr(float(value)) for value in found.logit]
        for target in manifest.targets:
            row += [repr(value) for value in found.contributions[target].values()]
    return row


def is_table(path: Path) -> bool:
    """Whether a file is empty or begins like one of these tables."""
    with suppress(OSError), path.open(encoding="utf-8", errors="replace") as stream:
        header = stream.readline(100_000)
        names = header.rstrip("\n").split(",")
        masks = names[0] == "file" and any(name.startswith("volume:") for name in names)
        return not header or masks or "unlike_training" in names
    return False


@contextmanager
def together(folder: Path, names: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Yield a place to write each file; all appear in ``folder`` on success, else none.

    A folder that was made for them goes away again when nothing came of it.
    """
    new = not folder.exists()
    try:
        with ExitStack() as stack:
            yield {name: stack.enter_context(replacing(folder / name)) for name in names}
    except BaseException:
        if new:
            with suppress(OSError):  # not empty, or never made
                folder.rmdir()
        raise


def write_refusals(folder: Path, refused: Sequence[Refusal]) -> Path | None:
    """Write ``rejected.csv``; without refusals an old one is taken away, since it would mislead."""
    path = folder / REJECTED
    if not refused:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                "An old list of refused inputs cannot be removed.", path=path
            ) from error
        return None
    rows = [(r.file, r.error, r.problem, r.remedy) for r in refused]
    write_table(path, ("file", "error", "problem", "remedy"), rows)
    return path
