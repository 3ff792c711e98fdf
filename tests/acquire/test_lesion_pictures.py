"""The made-up labelled pictures: the same for a seed, whole patients in one split."""

from __future__ import annotations

import numpy as np

from diaphane.acquire import open_dataset
from diaphane.acquire.phantom.pictures import SIDE, lesion_pictures, write_lesion_pictures


def test_a_seed_decides_every_pixel_whatever_else_is_made() -> None:
    few, more = lesion_pictures(3, patients=2), lesion_pictures(3, patients=5)
    other = lesion_pictures(4, patients=2)
    for one, same, another in zip(few, more, other, strict=False):
        assert np.array_equal(one.pixels, same.pixels)
        assert not np.array_equal(one.pixels, another.pixels)
    assert not np.array_equal(few[0].pixels, few[1].pixels)


def test_the_folder_is_a_data_set_with_whole_patients(tmp_path) -> None:
    data = open_dataset(write_lesion_pictures(tmp_path / "data", seed=1))
    assert len(data.entries) == 80
    assert len({entry.group for entry in data.entries}) == 40
    count = {(e.split, e.labels["label"]) for e in data.entries}
    assert count == {(s, c) for s in ("train", "test") for c in ("benign", "malignant")}
    of_group: dict[str, set[str | None]] = {}
    for entry in data.entries:
        of_group.setdefault(entry.group, set()).add(entry.split)
    assert all(len(splits) == 1 for splits in of_group.values())
    assert sum(e.split == "test" for e in data.entries) == 20
    assert data.entries[0].load().volume.shape == (1, SIDE, SIDE)


def test_higher_degrees_are_what_the_label_came_from() -> None:
    made = lesion_pictures(0, views=1)
    mean = {
        label: np.mean([p.degree for p in made if p.label == label])
        for label in ("benign", "malignant")
    }
    assert mean["malignant"] > mean["benign"] + 0.15
    lowest = min(p.degree for p in made if p.label == "malignant")
    highest = max(p.degree for p in made if p.label == "benign")
    assert lowest < highest  # they overlap, so no model can be perfect
