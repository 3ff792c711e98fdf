"""The folder of masks that ``predict`` fills: names, formats, and what must not be overwritten."""

from __future__ import annotations

import glob
import json
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diaphane.acquire import Entry
from diaphane.batch.tables import Refusal
from diaphane.bundle import Segmentation, Segmenter
from diaphane.core.case import Case
from diaphane.core.errors import AmbiguousInput, NotApplicable, UsageError
from diaphane.core.files import replacing, write_text
from diaphane.core.volume import Volume
from diaphane.privacy import AuditChain, Event, Pseudonymiser
from diaphane.report.dicom import is_dicom, write_label_segmentation
from diaphane.report.masks import write_label_map, write_shares

FORMATS = ("nii.gz", "nii", "mha", "nrrd", "png", "seg", "labelmap")
RECORD = "masks.json"
"""Which bundle filled a folder, and with what: files listed there may be replaced."""

_ENDINGS = (".nii.gz", ".png", ".dcm", ".nii", ".mha", ".nrrd")
_KNOWN = re.compile(
    r"\.(nii\.gz|nii|mha|mhd|nrrd|nhdr|png|tiff?|jpe?g|bmp|dcm|ima)$", re.IGNORECASE
)
_NNUNET = ("imagesTr", "imagesTs")


def mask_names(entries: Sequence[Entry]) -> tuple[dict[int, str], list[Refusal]]:
    """Name of the mask by number of the entry, its ending left out; and who has none.

    The input's own name without its ending, and in a folder ``imagesTr`` or ``imagesTs``
    without nnU-Net's ``_0000``. Where names of different folders clash, masks of all inputs
    lie in as many of their folders as tell them apart; where nothing does, later ones are
    refused.
    """
    parts = [_parts(entry.name) for entry in entries]
    deepest = max((len(p) for p in parts), default=1)
    by_depth = [["/".join(p[-count:]) for p in parts] for count in range(1, deepest + 1)]
    # The fewest folders that tell as many apart as can be.
    chosen = max(by_depth, key=lambda names: len({name.casefold() for name in names}))
    names: dict[int, str] = {}
    refused, taken = [], set[str]()
    for number, (entry, name) in enumerate(zip(entries, chosen, strict=True)):
        if name.casefold() in taken:
            error = AmbiguousInput(
                f"Another input would give a mask of the same name ({name}).",
                remedy="Rename one of them, or predict them into different folders.",
            )
            refused.append(Refusal.of(entry.name, error))
            continue
        taken.add(name.casefold())
        names[number] = name
    return names, refused


def _parts(name: str) -> list[str]:
    """Folders and bare name, fit to be a path below any folder."""
    pieces = [p for p in re.split(r"[/\\]+", name) if p not in ("", ".", "..")]
    if not pieces:  # "." and the like
        pieces = [Path(name).resolve().name or "image"]
    last = _KNOWN.sub("", pieces[-1])
    if len(pieces) > 1 and pieces[-2] in _NNUNET:
        last = re.sub(r"_0000$", "", last)
    pieces[-1] = last or pieces[-1]
    return [re.sub(r"[\x00-\x1f:*?\"<>|#]", "_", piece) for piece in pieces]


@dataclass(frozen=True)
class MaskFolder:
    """A folder to be filled; made by :meth:`open`.

    Probabilities and uncertainty maps go into folders beside it, so that it holds masks only:
    ``DIR-probabilities`` and ``DIR-uncertainty``.

    Attributes
    ----------
    ending:
        Format of all masks; ``None``: a Segmentation for DICOM, PNG for pictures, else NIfTI.
    seg:
        "binary" or "labelmap": the kind of Segmentations.
    """

    folder: Path
    segmenter: Segmenter
    ending: str | None
    seg: str = "binary"

    @classmethod
    def open(
        cls,
        folder: Path,
        segmenter: Segmenter,
        form: str | None,
        names: Sequence[str],
        *,
        resume: bool,
    ) -> MaskFolder:
        """Check that nothing but an earlier mask is replaced, and write the record.

        Raises
        ------
        UsageError
            An unknown format; a file that is no earlier mask is in the way; or, to resume, the
            masks there are another bundle's.
        """
        if form is not None and form not in FORMATS:
            raise UsageError(
                f"Masks are not written as '{form}'.", remedy=f"Use one of {', '.join(FORMATS)}."
            )
        if folder.exists() and not folder.is_dir():
            raise UsageError("There is a file where the masks would go.", path=folder)
        earlier = _record(folder)
        sha = earlier.get("bundle", {}).get("sha256")
        if resume and sha is not None and sha != segmenter.sha256:
            raise UsageError(
                "The masks there were made by another bundle.",
                path=folder,
                remedy="Leave --resume away, or give another folder.",
            )
        own = set(earlier.get("names", ()))
        for name in names:
            there = [folder / f"{name}{ending}" for ending in _ENDINGS]
            blocking = next((p for p in there if p.exists()), None)
            if blocking is not None and name not in own:
                raise UsageError(
                    "There is another file where a mask would go.",
                    path=blocking,
                    remedy="Only earlier masks are replaced. Give a folder of their own.",
                )
        manifest = segmenter.manifest
        record = {
            "bundle": {
                "name": manifest.name,
                "version": manifest.version,
                "sha256": segmenter.sha256,
            },
            "labels": {label.name: label.value for label in manifest.labels},
            "names": sorted(own | set(names)),
        }
        write_text(folder / RECORD, json.dumps(record, ensure_ascii=False, indent=1) + "\n")
        dicom = {"seg": "binary", "labelmap": "labelmap"}
        ending = None if form is None else ".dcm" if form in dicom else f".{form}"
        return cls(folder, segmenter, ending, dicom.get(form or "", "binary"))

    def find(self, name: str) -> Path | None:
        """A whole mask of that name, if there is one."""
        endings = _ENDINGS if self.ending is None else (self.ending,)
        there = (self.folder / f"{name}{ending}" for ending in endings)
        return next((path for path in there if path.is_file()), None)

    def write(self, name: str, case: Case, found: Segmentation) -> Path:
        """Write a case's maps and then its mask, each in one step; returns the mask's path.

        An earlier mask of the same case in another format goes.

        Raises
        ------
        NotApplicable
            The wanted format does not hold this mask.
        OutputError
            The disk is full or the place cannot be written.
        """
        self._clear(name)
        path = self._write(name, case, found)
        for ending in _ENDINGS:
            other = self.folder / f"{name}{ending}"
            if other != path:
                other.unlink(missing_ok=True)
        return path

    def _write(self, name: str, case: Case, found: Segmentation) -> Path:
        picture = found.labels.shape[0] == 1 and not found.labels.geometry.is_spatial
        self._write_maps(name, found, ".png" if picture else ".nii.gz")
        if self.ending in (None, ".dcm"):
            path = self._segmentation(name, case, found)
            if path is not None:
                return path
            if self.ending == ".dcm":
                raise NotApplicable(
                    "A DICOM Segmentation needs a DICOM input.",
                    remedy="Leave --format away, or use --format nii.gz",
                )
        ending = self.ending or (".png" if picture else ".nii.gz")
        if ending == ".png" and found.labels.shape[0] != 1:
            raise NotApplicable(
                f"A PNG holds one slice, and the mask has {found.labels.shape[0]}.",
                remedy="Leave --format away, or use --format nii.gz",
            )
        path = self.folder / f"{name}{ending}"
        with replacing(path) as beside:
            write_label_map(found.labels, beside)
        return path

    def _segmentation(self, name: str, case: Case, found: Segmentation) -> Path | None:
        """The written DICOM Segmentation; ``None`` where the source cannot carry one."""
        if not is_dicom(case.source):
            return None
        names = {label.value: label.name for label in self.segmenter.manifest.labels}
        path = self.folder / f"{name}.dcm"
        with suppress(NotApplicable), replacing(path) as beside:
            if not write_label_segmentation(
                found.labels, names, case.source, beside, self.segmenter.ref(), form=self.seg
            ):
                raise NotApplicable("The source cannot carry a Segmentation.")
            self._audit(beside)
            return path
        return None

    def _audit(self, segmentation: Path) -> None:
        """Enter in the audit chain what carries the identity of its study."""
        from pydicom import dcmread

        study = str(dcmread(segmentation, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)
        detail = {"bundle": self.segmenter.sha256, "format": "seg"}
        AuditChain().append(
            Event("predict", Pseudonymiser.load().pseudonym(study, "study"), detail)
        )

    def _write_maps(self, name: str, found: Segmentation, ending: str) -> None:
        if found.probabilities is not None:
            place = beside_of(self.folder, "probabilities")
            shares = found.probabilities
            if ending == ".png":
                for label, plane in zip(
                    self.segmenter.manifest.classes, shares.voxels, strict=True
                ):
                    safe = re.sub(r"[^\w.-]+", "_", label)
                    _shares(place / f"{name}.{safe}.png", shares.with_voxels(plane))
            else:
                _shares(place / f"{name}.nii.gz", shares)
        if found.uncertainty is not None:
            place = beside_of(self.folder, "uncertainty")
            _shares(place / f"{name}{ending}", found.uncertainty)

    def _clear(self, name: str) -> None:
        """Take away what a killed process left half-written under this name."""
        target = self.folder / name
        if target.parent.is_dir():
            for litter in target.parent.glob(f".{glob.escape(target.name)}.*"):
                if litter.is_dir():
                    shutil.rmtree(litter, ignore_errors=True)


def beside_of(folder: Path, what: str) -> Path:
    """Folder beside the masks for maps of that kind."""
    return folder.with_name(f"{folder.resolve().name}-{what}")


def _shares(path: Path, shares: Volume) -> None:
    with replacing(path) as beside:
        write_shares(shares, beside)


def _record(folder: Path) -> dict[str, Any]:
    """What an earlier run wrote about the folder; empty when there is nothing readable."""
    try:
        data = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) and isinstance(data.get("bundle"), dict) else {}
