"""Make the corpus of ``tests/golden/hostile`` with a coverage-guided fuzzer (atheris, pip).

    python benchmarks/hostile_fuzz.py CORPUS -max_total_time=600 -max_len=6000

CORPUS fills with files that reach new branches of diaphane's readers; it begins with the valid
files of ``tests/malformed.py``. ``--keep FOLDER CORPUS`` then chooses the smallest of each kind.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = (".dcm", ".nii", ".nii.gz", ".mha", ".nrrd", ".png", ".jpg", ".tif", ".npz", ".zip")
MOST_BYTES = 250_000


def suffix_of(data: bytes) -> str:
    """By the first byte, so that the fuzzer chooses the reader as well; DICOM mostly."""
    return KINDS[data[0] - 200] if 200 <= data[0] < 200 + len(KINDS) else ".dcm"


def fuzz(corpus: Path) -> None:
    """Run until told to stop by the options of libFuzzer."""
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

    with atheris.instrument_imports(include=["diaphane.acquire", "pydicom"]):
        from diaphane.acquire import describe, read
    from diaphane.core.errors import DiaphaneError

    sys.path.insert(0, str(ROOT / "tests"))
    from malformed import seeds  # type: ignore[import-not-found]

    scratch = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108
    os.environ["DIAPHANE_HOME"] = str(scratch)
    corpus.mkdir(parents=True, exist_ok=True)
    for name, data in seeds(scratch / "seeds").items():
        kind = next((k for k in reversed(KINDS) if name.endswith(k)), ".dcm")
        (corpus / name).write_bytes(bytes([200 + KINDS.index(kind)]) + data)

    def one(data: bytes) -> None:
        if len(data) < 2:
            return
        path = scratch / f"a{suffix_of(data)}"
        path.write_bytes(data[1:])
        for action in (describe, read):
            with contextlib.suppress(DiaphaneError):
                action(path)

    atheris.Setup([sys.argv[0], str(corpus), *sys.argv[2:]], one)
    atheris.Fuzz()


def keep(folder: Path, corpus: Path) -> None:
    """Files of a corpus by how they are told of, the two smallest of each."""
    from diaphane.acquire import describe, read
    from diaphane.core.errors import DiaphaneError

    scratch = Path(tempfile.mkdtemp())
    os.environ["DIAPHANE_HOME"] = str(scratch)
    folder.mkdir(parents=True, exist_ok=True)
    seen: Counter[str] = Counter()
    total = 0
    for file in sorted(corpus.iterdir(), key=lambda file: file.stat().st_size):
        data = file.read_bytes()
        if len(data) < 2 or total + len(data) > MOST_BYTES:
            continue
        suffix = suffix_of(data)
        path = scratch / f"a{suffix}"
        path.write_bytes(data[1:])
        told = suffix
        for action in (describe, read):
            try:
                action(path)
                told += " read"
            except DiaphaneError as error:
                told += f" {error.code} {error.problem[:60]}"
        if seen[told] < 2:
            seen[told] += 1
            total += len(data)
            (folder / f"{sum(seen.values()):03d}{suffix}").write_bytes(data[1:])
    print(f"{sum(seen.values())} files, {total} bytes")


if __name__ == "__main__":
    if sys.argv[1] == "--keep":
        keep(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        fuzz(Path(sys.argv[1]))
