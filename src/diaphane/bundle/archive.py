"""The files of a bundle, read from a folder or a zip and checked before anything uses them."""

from __future__ import annotations

import hashlib
import io
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from diaphane.core.errors import BundleCorrupt, UnsafeArchive

SUMS = "SHA256SUMS"
MANIFEST = "bundle.json"
MODEL = "model.onnx"
REFERENCE = "reference.safetensors"
CARD = "card.md"
LICENCE = "LICENSE"

MOST_FILES = 256
MOST_BYTES = 2 << 30
MOST_RATIO = 200
"""A zip that grows more than this, beyond 16 MiB, is taken for a bomb."""

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def read_files(path: Path) -> dict[str, bytes]:
    """All files of a bundle by name, each checked against ``SHA256SUMS``.

    The bytes that were hashed are the bytes that are returned. Zips are read in place and
    never unpacked.

    Raises
    ------
    BundleCorrupt
        A file is missing, unlisted or changed; the message names it.
    UnsafeArchive
        A zip with a path outside itself, a link, a name twice, a password, or a bomb.
    """
    files = _from_zip(path) if path.is_file() else _from_folder(path)
    check(files, path)
    return files


def check(files: Mapping[str, bytes], path: Path) -> None:
    """Compare files with their list; see :func:`read_files` for what is raised."""
    if MANIFEST not in files:
        raise BundleCorrupt(
            f"{MANIFEST} is missing: not a bundle, or not a whole one.",
            path=path,
            remedy="Copy or download the bundle again.",
        )
    if SUMS not in files:
        raise BundleCorrupt(f"{SUMS} is missing, so nothing can be verified.", path=path)
    listed = _sums(files[SUMS], path)
    for name in (MANIFEST, MODEL, CARD, LICENCE):
        if name not in listed:
            raise BundleCorrupt(f"{SUMS} does not list {name}.", path=path)
    for name, digest in listed.items():
        if name not in files:
            raise BundleCorrupt(f"{name} is missing.", path=path)
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise BundleCorrupt(
                f"{name} does not match its hash: it was changed or damaged.",
                path=path,
                remedy="Copy or download the bundle again.",
            )
    for name in files:
        if name != SUMS and name not in listed:
            raise BundleCorrupt(f"{name} is not listed in {SUMS}.", path=path)


def sums_of(files: Mapping[str, bytes]) -> bytes:
    """Content of ``SHA256SUMS``, as ``sha256sum`` writes and checks it, sorted by name."""
    lines = [
        f"{hashlib.sha256(data).hexdigest()}  {name}\n"
        for name, data in sorted(files.items())
        if name != SUMS
    ]
    return "".join(lines).encode()


def zipped(files: Mapping[str, bytes], folder: str) -> bytes:
    """A zip with the files below ``folder``; equal files give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{folder}/{name}", _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def safe_name(name: str) -> bool:
    """Whether a name in a list or an archive stays inside its folder on every system."""
    path = PurePosixPath(name)
    return not (
        not name
        or path.is_absolute()
        or ".." in path.parts
        or any(char in name for char in "\\:\0")
        or name != str(path)
    )


def _sums(data: bytes, path: Path) -> dict[str, str]:
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as error:
        raise BundleCorrupt(f"{SUMS} is not text.", path=path) from error
    listed = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None or not safe_name(match[2]):
            raise BundleCorrupt(f"{SUMS} has a line that is not a hash and a name.", path=path)
        listed[match[2]] = match[1]
    return listed


def _from_folder(path: Path) -> dict[str, bytes]:
    if not path.is_dir():
        raise BundleCorrupt("There is no such bundle.", path=path)
    files: dict[str, bytes] = {}
    total = 0
    for file in sorted(path.rglob("*")):
        if not file.is_file() or file.name == ".DS_Store":
            continue
        total += file.stat().st_size
        if len(files) >= MOST_FILES or total > MOST_BYTES:
            raise BundleCorrupt("The folder holds far more than a bundle.", path=path)
        try:
            files[file.relative_to(path).as_posix()] = file.read_bytes()
        except OSError as error:
            reason = error.strerror or str(error)
            raise BundleCorrupt(f"{file.name} cannot be read: {reason}.", path=path) from error
    return files


def _from_zip(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [e for e in archive.infolist() if not _ignored(e)]
            _refuse_unsafe(entries, path)
            files = {entry.filename: archive.read(entry) for entry in entries}
    except (
        zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError
    ) as error:  # fmt: skip
        raise BundleCorrupt("The zip is damaged or not a zip.", path=path) from error
    tops = {name.split("/", 1)[0] for name in files}
    if MANIFEST not in files and len(tops) == 1 and all("/" in name for name in files):
        return {name.split("/", 1)[1]: data for name, data in files.items()}
    return files


def _ignored(entry: zipfile.ZipInfo) -> bool:
    """Folders, and what a Mac adds; links and unsafe names are never ignored."""
    plain = not stat.S_ISLNK(entry.external_attr >> 16)
    mac = entry.filename.startswith("__MACOSX/") or entry.filename.endswith("/.DS_Store")
    inside = safe_name(entry.filename.rstrip("/"))
    return plain and inside and (entry.is_dir() or mac)


def _refuse_unsafe(entries: list[zipfile.ZipInfo], path: Path) -> None:
    seen = set()
    for entry in entries:
        name = entry.filename
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if not safe_name(name):
            raise UnsafeArchive(f"The zip would write outside its folder ({name!r}).", path=path)
        if kind not in (0, stat.S_IFREG):
            raise UnsafeArchive(f"The zip holds a link or device ({name!r}).", path=path)
        if name in seen:
            raise UnsafeArchive(f"The zip holds {name!r} twice.", path=path)
        if entry.flag_bits & 1:
            raise UnsafeArchive(f"The zip is encrypted ({name!r}).", path=path)
        seen.add(name)
    size = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    grows = size > (16 << 20) and size > MOST_RATIO * max(packed, 1)
    if len(entries) > MOST_FILES or size > MOST_BYTES or grows:
        raise UnsafeArchive(
            f"The zip would unpack to {len(entries)} files and {size} bytes.", path=path
        )
