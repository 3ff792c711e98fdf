"""Where bundles live: with the package, with the user, or at a path."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from diaphane.bundle.archive import (
    CARD,
    LICENCE,
    MANIFEST,
    MODEL,
    REFERENCE,
    SUMS,
    read_files,
    safe_name,
    sums_of,
    zipped,
)
from diaphane.bundle.artefact import Bundle
from diaphane.bundle.manifest import Manifest, stated_task
from diaphane.bundle.reference import reference_to_bytes
from diaphane.bundle.segmentation import SegmentationManifest, read_manifest
from diaphane.bundle.segmenter import Segmenter
from diaphane.core.decision import UnlikeTraining
from diaphane.core.errors import BundleError, BundleNotFound, UsageError
from diaphane.core.files import replacing, write_bytes

AnyBundle = Bundle | Segmenter
B = TypeVar("B", Bundle, Segmenter)

SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Installed:
    """A bundle that can be named.

    ``origin`` is "shipped" or "user"; ``problem`` says why it cannot be used, else ``None``.
    """

    name: str
    path: Path
    origin: str
    version: str = ""
    title: str = ""
    task: str = ""
    licence: str = ""
    size: int = 0
    problem: str | None = None


def user_folder() -> Path:
    """``bundles`` below ``DIAPHANE_HOME`` (default ``~/.diaphane``)."""
    home = os.environ.get("DIAPHANE_HOME")
    return (Path(home) if home else Path.home() / ".diaphane") / "bundles"


def installed() -> tuple[Installed, ...]:
    """Every bundle that can be named, shipped ones first; a damaged one says so."""
    found = []
    for origin, folder in (("shipped", SHIPPED), ("user", user_folder())):
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if not path.is_dir() or path.name.startswith((".", "_")):
                continue
            try:
                text = (path / MANIFEST).read_bytes()
                manifest = read_manifest(text, path=str(path))
                size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            except (BundleError, OSError) as error:
                reason = error.problem if isinstance(error, BundleError) else "cannot be read"
                found.append(Installed(path.name, path, origin, problem=reason))
                continue
            found.append(
                Installed(
                    path.name,
                    path,
                    origin,
                    manifest.version,
                    manifest.title,
                    manifest.task,
                    manifest.licence,
                    size,
                )
            )
    return tuple(found)


def find_bundle(name: str | Path) -> Path:
    """Path of a bundle by name, folder, run folder or zip.

    A path wins when it exists and is a bundle, a run that holds one, or a zip; then installed
    names are looked through, shipped ones first.

    Raises
    ------
    BundleNotFound
        Neither; the message lists what is installed.
    """
    path = Path(name)
    if path.is_file() or (path / MANIFEST).is_file() or (path / SUMS).is_file():
        return path
    if (path / "bundle" / MANIFEST).is_file():
        return path / "bundle"
    names = {}
    for bundle in reversed(installed()):
        names[bundle.name] = bundle.path
    if str(name) in names:
        return names[str(name)]
    known = ", ".join(sorted(names)) or "none"
    if path.is_dir():
        raise BundleNotFound(
            f"The folder holds no {MANIFEST}.", path=path, remedy=f"Installed bundles: {known}."
        )
    raise BundleNotFound(
        f"There is no bundle '{name}'.",
        remedy=f"Give a bundle's folder or zip, or an installed name: {known}.",
    )


def load_bundle(name: str | Path, *, threads: int | None = None) -> AnyBundle:
    """Load and verify a bundle by name, folder, run folder or zip.

    A :class:`Bundle` for classification, a :class:`Segmenter` for segmentation.

    Raises
    ------
    BundleNotFound, BundleCorrupt, BundleTooNew, UnsafeArchive
        See :mod:`diaphane.core.errors`.
    """
    path = find_bundle(name)
    files = read_files(path)
    if stated_task(files[MANIFEST], path=str(path)) == "segmentation":
        return Segmenter(files, path, threads)
    return Bundle(files, path, threads)


def load_classifier(name: str | Path, *, threads: int | None = None) -> Bundle:
    """As :func:`load_bundle`, where only a classification bundle will do.

    Raises
    ------
    BundleError
        It segments.
    """
    return _only(Bundle, load_bundle(name, threads=threads))


def load_segmenter(name: str | Path, *, threads: int | None = None) -> Segmenter:
    """As :func:`load_bundle`, where only a segmentation bundle will do.

    Raises
    ------
    BundleError
        It classifies.
    """
    return _only(Segmenter, load_bundle(name, threads=threads))


def _only(kind: type[B], found: AnyBundle) -> B:
    if isinstance(found, kind):
        return found
    raise BundleError(
        f"'{found.name}' is a {found.what} bundle, and a {kind.what} bundle is needed here.",
        path=found.path,
    )


def verify(name: str | Path) -> AnyBundle:
    """Load a bundle and open its graph, so that anything wrong with it is raised now."""
    bundle = load_bundle(name, threads=1)
    _ = bundle.runner, bundle.recipe
    return bundle


def write_bundle(
    folder: str | Path,
    manifest: Manifest,
    model: str | Path,
    *,
    card: str,
    licence: str,
    reference: UnlikeTraining | None = None,
    extras: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a bundle's folder in one step, with its hashes.

    Parameters
    ----------
    model:
        The ONNX file, weights inside.
    card, licence:
        Texts of ``card.md`` and ``LICENSE``.
    reference:
        For ``unlike_training``; ``None`` leaves it out.
    extras:
        Further files by name.

    Raises
    ------
    UsageError
        An extra file's name is unsafe or taken.
    OutputError
        The disk is full or the place cannot be written.
    """
    more = dict(extras or {})
    if reference is not None:
        if REFERENCE in more:
            raise UsageError(f"'{REFERENCE}' cannot be a further file of a bundle.")
        more[REFERENCE] = reference_to_bytes(reference)
    return _write(folder, manifest, model, card=card, licence=licence, extras=more)


def write_segmenter(
    folder: str | Path,
    manifest: SegmentationManifest,
    model: str | Path,
    *,
    card: str,
    licence: str,
    extras: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a segmentation bundle's folder in one step; as :func:`write_bundle`."""
    return _write(folder, manifest, model, card=card, licence=licence, extras=extras or {})


def _write(
    folder: str | Path,
    manifest: Manifest | SegmentationManifest,
    model: str | Path,
    *,
    card: str,
    licence: str,
    extras: Mapping[str, bytes],
) -> Path:
    files = {
        MANIFEST: manifest.to_json().encode(),
        MODEL: Path(model).read_bytes(),
        CARD: card.encode(),
        LICENCE: licence.encode(),
    }
    for name, data in extras.items():
        if not safe_name(name) or name in files or name == SUMS:
            raise UsageError(f"'{name}' cannot be a further file of a bundle.")
        files[name] = bytes(data)
    return _write_folder({**files, SUMS: sums_of(files)}, Path(folder))


def export_bundle(name: str | Path, target: str | Path) -> Path:
    """Write a bundle as a zip; the same bundle always gives the same bytes."""
    path = find_bundle(name)
    files = read_files(path)
    manifest = read_manifest(files[MANIFEST], path=str(path))
    write_bytes(target, zipped(files, manifest.name))
    return Path(target)


def import_bundle(source: str | Path, *, replace: bool = False) -> Path:
    """Verify a bundle and put it into the user's folder, under its own name.

    Raises
    ------
    UsageError
        A shipped bundle has that name, or the user's folder does and ``replace`` is not set.
    """
    bundle = verify(source)
    if (SHIPPED / bundle.name).exists():
        raise UsageError(f"A shipped bundle is already called '{bundle.name}'.")
    target = user_folder() / bundle.name
    if target.exists() and not replace:
        raise UsageError(
            f"A bundle '{bundle.name}' is already installed.", remedy="Replace it with --replace."
        )
    return _write_folder(read_files(bundle.path), target)


def _write_folder(files: Mapping[str, bytes], folder: Path) -> Path:
    with replacing(folder) as beside:
        for name, data in files.items():
            file = beside / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
    return folder
