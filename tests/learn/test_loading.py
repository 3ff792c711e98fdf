"""Samples made ahead: order and content do not depend on threads; large sets lie in a file."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest
import torch

from diaphane.core.errors import OutputError
from diaphane.learn.augment import Augmentation
from diaphane.learn.cache import Cache
from diaphane.learn.cases import read_cases
from diaphane.learn.loading import Ahead, loading_threads
from diaphane.learn.rhythm import Rhythm


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_order_is_kept_whatever_the_workers(workers):
    def make(number):
        time.sleep(random.random() * 0.004)
        return number, torch.get_num_threads()

    with Ahead(make, 5, 45, workers=workers) as ahead:
        seen = list(ahead)
    assert [number for number, _ in seen] == list(range(5, 45))
    if workers:
        assert {threads for _, threads in seen} == {1}


def test_the_queue_is_bounded_and_leaving_stops_the_threads():
    made = []
    before = threading.active_count()
    with Ahead(lambda n: made.append(n) or n, 0, 10_000, workers=2, depth=4) as ahead:
        for item in ahead:
            if item == 10:
                time.sleep(0.05)
                break
    assert max(made) <= 10 + 4 + 2
    assert threading.active_count() == before


def test_an_error_comes_where_its_item_would_have_come():
    def make(number):
        if number == 3:
            raise RuntimeError("three")
        return number

    with Ahead(make, 0, 9, workers=2) as ahead:
        items = iter(ahead)
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(RuntimeError, match="three"):
            next(items)


def test_threads_of_the_taker_stay_as_they_were():
    before = torch.get_num_threads()
    with Ahead(lambda n: torch.ones(8).sum() * n, 0, 20, workers=2) as ahead:
        assert len(list(ahead)) == 20
        assert torch.get_num_threads() == before


def test_cache_keeps_what_fits_and_maps_the_rest(tmp_path):
    cache = Cache(tmp_path / "cache", most=5000)
    arrays = [np.random.default_rng(n).integers(0, 255, (30, 50), np.uint8) for n in range(6)]
    kept = [cache.keep(array) for array in arrays]
    assert kept[0] is arrays[0]
    assert cache.held <= 5000 < cache.held + cache.mapped
    for one, other in zip(kept, arrays, strict=True):
        assert np.array_equal(one, other)
        assert one.dtype == other.dtype
    floats = cache.keep(np.linspace(0, 1, 77, dtype=np.float32).reshape(7, 11))
    assert floats.shape == (7, 11)
    assert floats[6, 10] == 1.0
    assert any((tmp_path / "cache").iterdir())
    cache.close()
    assert not (tmp_path / "cache").exists()
    assert np.array_equal(kept[5], arrays[5])


def test_cache_without_a_place_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = Cache(tmp_path / "file" / "cache", most=0)
    with pytest.raises((OutputError, NotADirectoryError)):
        cache.keep(np.zeros(9))


def test_batches_are_the_same_from_memory_and_from_the_file(balls, tmp_path, ball_run):
    from diaphane.acquire import open_dataset
    from diaphane.preprocess import Recipe

    plan = ball_run[0].plan
    stores = [
        read_cases(
            open_dataset(balls), plan.input, Recipe.from_dict(plan.recipe), how,
            salt="", seed=3, threads=threads, cache=cache,
        )
        for how in (plan.augmentation, Augmentation(versions=0))
        for threads, cache in ((1, Cache()), (2, Cache(tmp_path / str(how.versions), most=0)))
    ]  # fmt: skip
    for one, other in (stores[:2], stores[2:]):
        a, b = one.batch([3, 1, 7], 5, 2), other.batch([3, 1, 7], 5, 2)
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.mask, b.mask)
        alone = one.batch([7], 5, 2)
        depth = int(alone.length[0])
        assert torch.equal(alone.image[0], a.image[2, :depth]), "company does not matter"


def test_an_epoch_shows_every_case_once_in_even_batches(ball_run):
    plan = ball_run[0].plan.with_changes({"batch": 8, "steps": 40, "stopping": {"share": 0.0}})
    rhythm = Rhythm.of(plan, 27)
    parts = [rhythm.part(step) for step in range(8)]
    assert [epoch for epoch, _, _ in parts] == [0, 0, 0, 0, 1, 1, 1, 1]
    sizes = [last - first for _, first, last in parts]
    assert sum(sizes[:4]) == 27
    assert max(sizes) - min(sizes) <= 1
    assert (rhythm.steps, rhythm.look) == (40, 4)
    large = Rhythm.of(plan, 50_000)
    assert large.look == 4, "an epoch is too long to wait for"


def test_a_gpu_is_fed_by_more_threads_than_a_cpu_beside_which_they_work() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [loading_threads(n, cpu) for n in (1, 4, 16)] == [1, 1, 2]
    assert 2 <= loading_threads(1, gpu) <= 8
