"""The same pixels give the same float in training, in ``predict`` and in ``analyze``."""

import csv

import numpy as np
import pytest
from PIL import Image

from diaphane import batch
from diaphane.acquire import open_dataset, open_inputs
from diaphane.apps import analyze
from diaphane.bundle import load_bundle
from diaphane.measure import concepts


@pytest.fixture(scope="module")
def stacks(toys, tmp_path_factory):
    return toys.write_stacks(tmp_path_factory.mktemp("d") / "set", 6)


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("lung-nodule", threads=1)


def test_three_ways(bundle, stacks, tmp_path):
    spec = bundle.manifest.input
    entries = open_dataset(stacks).entries
    trained = [_in_training(entry, bundle) for entry in entries]
    names = ("bias", "image", *spec.concept_names)
    batch.predict(bundle, [str(stacks)], tmp_path / "p.csv", contributions=True)
    with (tmp_path / "p.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, (entry, mine, row) in enumerate(zip(entries, trained, rows, strict=True)):
        folder = stacks / "images" / f"s{number:02d}"
        predicted = bundle.predict(open_inputs([folder], sequences=True).entries[0].load())
        assert np.array_equal(predicted.prepared.concepts, mine), entry.key
        evidence = _evidence(folder, bundle)
        if evidence is not None:
            assert [c.value for c in evidence.concepts] == [float(v) for v in mine]
        for name in names:
            written = float(row[f"contribution:{name}"])
            target = bundle.manifest.positive
            assert written == pytest.approx(predicted.contributions[target][name], abs=1e-5)


def _in_training(entry, bundle):
    """Concepts as learning stores them; the plain way where torch is absent."""
    pytest.importorskip("torch", reason="torch is not installed")
    from diaphane.acquire import Dataset
    from diaphane.learn.augment import Augmentation
    from diaphane.learn.cases import read_cases

    store = read_cases(
        Dataset("manifest", (entry,)),
        bundle.manifest.input,
        bundle.recipe,
        Augmentation(),
        salt="",
        seed=0,
    )
    return store.plain[0].open().concepts


def _evidence(folder, bundle):
    return analyze(folder, bundle.path).findings[0].evidence


def test_they_are_measures_own_floats(bundle, stacks):
    """Recomputed from the slices by ``measure`` alone."""
    spec = bundle.manifest.input
    for folder in sorted((stacks / "images").iterdir()):
        planes = [np.asarray(Image.open(p)) for p in sorted(folder.iterdir())]
        voxels = np.stack(planes)
        image = (voxels.astype(np.float32) * np.float32(1 / 255)).astype(np.float32)
        by_hand = concepts(spec.concepts, image, voxels > 0)
        case = open_inputs([folder], sequences=True).entries[0].load()
        assert bundle.prepare(case).concepts[: len(by_hand)] == pytest.approx(by_hand, rel=1e-6)
