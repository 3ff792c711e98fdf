"""Jobs in processes of their own: what they tell, what they come to, and how they fail."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch

from diaphane.core.errors import Diverged
from diaphane.learn import TrainOptions, plan, train
from diaphane.learn.pacing import Arrangement
from diaphane.learn.side_by_side import can_fork, side_by_side

CPU = torch.device("cpu")
needs_forks = pytest.mark.skipif(not can_fork(CPU), reason="this system cannot fork safely")


def nothing(*_):
    """Hears nothing."""


@pytest.mark.parametrize("at_once", [1, pytest.param(3, marks=needs_forks)])
def test_every_job_is_heard_in_its_own_order_and_its_result_comes_back(at_once):
    def job_of(number):
        def job(send):
            for k in range(50):
                send({"k": k, "text": "naïve\n" * number})
            return {"number": number, "sum": float(torch.full((9,), float(number)).sum())}

        return job

    heard = {f"job {n}": [] for n in range(5)}
    results = side_by_side(
        {name: job_of(n) for n, name in enumerate(heard)}, at_once,
        lambda name, said: heard[name].append(said["k"]),
    )  # fmt: skip
    assert {name: r["sum"] for name, r in results.items()} == {
        f"job {n}": 9.0 * n for n in range(5)
    }
    assert all(told == list(range(50)) for told in heard.values())


@needs_forks
def test_jobs_are_other_processes_with_threads_of_their_own():
    def job(_):
        return {"process": os.getpid(), "threads": torch.get_num_threads()}

    found = side_by_side({"a": job, "b": job}, 2, nothing, threads=1)
    assert len({os.getpid(), *(r["process"] for r in found.values())}) == 3
    assert {r["threads"] for r in found.values()} == {1}


@needs_forks
def test_an_error_comes_through_whole_and_ends_the_others(tmp_path):
    def fails(_):
        raise Diverged("The loss is not finite.", path=tmp_path, remedy="Look at it.")

    def waits(send):
        send({"process": os.getpid()})
        signal.pause()
        return {}

    told = []
    with pytest.raises(Diverged, match=r"The loss is not finite\.") as caught:
        side_by_side({"waits": waits, "fails": fails}, 2, lambda _, said: told.append(said))
    assert (caught.value.path, caught.value.remedy) == (str(tmp_path), "Look at it.")
    for said in told:
        with pytest.raises(ProcessLookupError):
            os.kill(said["process"], 0)


@needs_forks
def test_a_process_that_is_ended_from_outside_is_told():
    def killed(_):
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    with pytest.raises(MemoryError, match="network 2 was ended from outside"):
        side_by_side({"network 1": lambda _: {}, "network 2": killed}, 2, nothing)


def test_places_are_filled_and_threads_shared():
    fork = can_fork(CPU)
    assert Arrangement.of(5, 1, CPU) == Arrangement(1, 1)
    assert Arrangement.of(5, 2, CPU) == (Arrangement(2, 1) if fork else Arrangement(1, 2))
    assert Arrangement.of(3, 16, CPU) == (Arrangement(3, 5) if fork else Arrangement(1, 16))
    assert Arrangement.of(5, 8, torch.device("cuda")) == Arrangement(1, 8)
    assert [Arrangement(2, 1).rounds(n) for n in (1, 2, 5)] == [1, 1, 3]


@needs_forks
def test_a_budget_fills_both_places(synthetic, tmp_path):
    """One network was planned: two of different seeds take no longer, and are fused."""
    data = synthetic.write_pictures(tmp_path / "dots.npz", 60)
    made = plan(data, estimated=False).plan
    network = made.network.model_dump(mode="json")
    made = made.with_changes(
        {
            "network": {**network, "widths": [4, 6], "strides": [2, 2], "stem": 0, "depths": []},
            "families": {}, "batch": 8, "steps": 12, "views": ["as_is"],
            "split": {"folds": 1}, "stopping": {"share": 0.0},
        }
    )  # fmt: skip
    run = train(data, tmp_path / "run", made, TrainOptions(threads=2, probes=2, time_budget=900.0))
    assert run.plan.seeds == (0, 1)
    assert "side by side" in run.plan.reasons["seeds"]
    assert run.bundle.manifest.model["members"] == 2
    state = json.loads((run.folder / "run.json").read_text())
    assert (state["settled"]["at_once"], state["threads"]) == (2, 1)
    assert not list(run.folder.glob("checkpoint/current*"))
    assert not list(run.folder.glob("checkpoint/epochs*"))
