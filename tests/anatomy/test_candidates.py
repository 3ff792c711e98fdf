"""Candidates and outlines."""

import re

import numpy as np
import pytest

from diaphane.acquire.phantom import chest_phantom, insert_nodule
from diaphane.anatomy import propose_candidates, segment_lungs, segment_nodule
from diaphane.anatomy.candidates import SHOWN
from diaphane.core.errors import InputError

GRID = {"spacing": (2.5, 1.4, 1.4), "shape": (136, 264, 264)}


def hit(candidates, nodule):
    gaps = [np.linalg.norm(np.subtract(c.centre, nodule.centre)) for c in candidates]
    return bool(gaps) and min(gaps) <= max(3.0, nodule.diameter_mm / 2)


@pytest.fixture(scope="module")
def found(chest, chest_lungs):
    return propose_candidates(chest.volume, chest_lungs)


def test_planted_nodules_are_shown(chest, found):
    shown = [c for c in found if c.score >= SHOWN]
    assert all(hit(shown, n) for n in chest.nodules)


def test_few_others_are_shown(chest, found):
    others = [
        c
        for c in found
        if c.score >= SHOWN
        and all(
            np.linalg.norm(np.subtract(c.centre, n.centre)) > max(3.0, n.diameter_mm / 2)
            for n in chest.nodules
        )
    ]
    assert len(others) <= 3


def test_candidates_lie_in_lung_and_not_in_airways(chest, chest_lungs, found):
    for one in found:
        box = tuple(slice(a, b) for a, b in one.box)
        assert (chest_lungs.mask[box] > 0).any()
        at = tuple(np.round(one.index).astype(int))
        assert not chest_lungs.airways[at]
        np.testing.assert_allclose(chest.volume.geometry.to_index(one.centre), one.index, atol=1e-6)
        assert 0.0 <= one.score <= 1.0


def test_candidates_come_best_first_and_limited(chest, chest_lungs, found):
    scores = [c.score for c in found]
    assert scores == sorted(scores, reverse=True)
    assert len(propose_candidates(chest.volume, chest_lungs, limit=2)) == 2


def test_larger_minimum_leaves_out_small_ones(chest, chest_lungs):
    large = propose_candidates(chest.volume, chest_lungs, min_diameter_mm=12.0, limit=200)
    assert all(2.0 * c.radius_mm > 9.0 for c in large)


def test_outline_has_the_size_of_the_nodule(chest, chest_lungs):
    voxel = float(np.prod(chest.volume.geometry.spacing_mm))
    for nodule in chest.nodules:
        if nodule.kind != "free":
            continue
        seed = chest.volume.geometry.to_index(nodule.centre)
        mask = segment_nodule(chest.volume, seed, chest_lungs)
        diameter = (mask.sum() * voxel * 6.0 / np.pi) ** (1.0 / 3.0)
        assert diameter == pytest.approx(nodule.diameter_mm, rel=0.2)


def test_outline_is_cut_from_the_pleura(chest, chest_lungs):
    nodule = next(n for n in chest.nodules if n.kind == "pleural")
    mask = segment_nodule(chest.volume, chest.volume.geometry.to_index(nodule.centre), chest_lungs)
    ball = np.pi / 6.0 * nodule.diameter_mm**3
    volume = mask.sum() * float(np.prod(chest.volume.geometry.spacing_mm))
    assert 0.3 * ball < volume < 1.4 * ball
    assert (chest_lungs.mask[mask] > 0).all()


def test_a_point_outside_is_refused(chest, chest_lungs):
    with pytest.raises(InputError):
        segment_nodule(chest.volume, (-5.0, 0.0, 0.0), chest_lungs)
    with pytest.raises(InputError):
        segment_nodule(chest.volume, (60.0, 2.0, 2.0), chest_lungs)


def test_a_point_in_clear_lung_gives_little_or_nothing(chest, chest_lungs):
    deep = np.asarray(chest.volume.voxels)
    clear = np.argwhere((chest_lungs.mask > 0) & (deep < -840.0))
    mask = segment_nodule(chest.volume, clear[len(clear) // 2], chest_lungs)
    assert mask.sum() * float(np.prod(chest.volume.geometry.spacing_mm)) < 600.0


def test_a_mass_against_the_chest_wall_stays_lung_and_is_found():
    phantom = chest_phantom(13, nodules=[(6.0, "free")], **GRID)
    centre = (98.0, 30.0, 110.0)
    volume = insert_nodule(phantom.volume, centre, 52.0, seed=2)
    lungs = segment_lungs(volume)
    at = np.round(volume.geometry.to_index(centre)).astype(int)
    assert lungs.mask[tuple(at)] == 2
    large = [c for c in propose_candidates(volume, lungs) if c.radius_mm > 12.0]
    assert any(np.linalg.norm(np.subtract(c.centre, centre)) < 20.0 for c in large)


@pytest.mark.shared_data
def test_the_tumour_of_a_real_patient(shared_data):
    import pydicom

    from diaphane.acquire import read

    folder = shared_data("lung_pet_ct_dx/A0001_L")
    volume = read(folder)
    lungs = segment_lungs(volume)
    boxes = {}
    for file in sorted(folder.rglob("*.dcm")):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        note = folder.parent / "Annotation" / "A0001" / f"{header.SOPInstanceUID}.xml"
        if note.exists():
            text = note.read_text()
            ends = [
                int(re.search(f"<{k}>(\\d+)<", text)[1]) for k in ("xmin", "ymin", "xmax", "ymax")
            ]
            level = volume.geometry.to_index([float(v) for v in header.ImagePositionPatient])[0]
            boxes[round(float(level))] = ends
    assert len(boxes) == 11
    inside = np.zeros(volume.shape, dtype=bool)
    for z, (x0, y0, x1, y1) in boxes.items():
        inside[z, y0 : y1 + 1, x0 : x1 + 1] = True
    shown = [c for c in propose_candidates(volume, lungs) if c.score >= SHOWN]
    on = [c for c in shown if inside[tuple(np.round(c.index).astype(int))]]
    assert on
    assert len(shown) - len(on) <= 8
    middle = sorted(boxes)[5]
    x0, y0, x1, y1 = boxes[middle]
    reader = (middle, 0.5 * (y0 + y1), 0.5 * (x0 + x1))
    for seed, radius in ((on[0].index, on[0].radius_mm), (reader, None)):
        mask = segment_nodule(volume, seed, lungs, radius)
        assert inside[mask].mean() >= 0.7
        assert sum(overlap(mask[z], box) >= 0.5 for z, box in boxes.items()) >= 8


def overlap(mask, box):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return 0.0
    x0, y0, x1, y1 = box
    wide = max(0, min(columns[-1], x1) - max(columns[0], x0) + 1)
    tall = max(0, min(rows[-1], y1) - max(rows[0], y0) + 1)
    both = wide * tall
    area = (columns[-1] - columns[0] + 1) * (rows[-1] - rows[0] + 1)
    return both / (area + (x1 - x0 + 1) * (y1 - y0 + 1) - both)
