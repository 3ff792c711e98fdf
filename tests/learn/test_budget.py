"""A time budget in numbers: what fits, and when a run jumps to its end."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diaphane.learn.budget import (
    Budget,
    Laps,
    Watch,
    annealing,
    last_step,
    read_duration,
    tail,
)
from diaphane.learn.pacing import reserve

STEPS = st.integers(1, 5000)


def test_steps_fill_what_is_left_after_the_reserve():
    budget = Budget(1000.0, time.monotonic())
    steps = budget.steps(0.1, 5, 100.0)
    assert 0.95 * 900 <= steps * 0.1 * 5 <= 0.98 * 900
    assert budget.steps(0.1, 5, 100.0, most=7) == 7
    assert budget.steps(0.1, 5, 5000.0, least=9) == 9
    gone = Budget(10.0, time.monotonic() - 11.0)
    assert gone.left() < 0
    assert gone.steps(0.1, 1, 0.0, least=3) == 3


@given(STEPS, st.floats(0, 0.5))
def test_the_schedule_rises_then_falls_to_nothing(steps, warmup):
    rates = [annealing(step, steps, warmup=warmup) for step in range(steps)]
    assert all(0.0 < rate <= 1.0 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


@given(STEPS, st.data())
def test_a_jump_goes_on_from_where_it_was_and_ends_annealed(steps, data):
    jump = data.draw(st.integers(0, steps - 1))
    end = last_step(steps, jump)
    assert jump < end <= steps
    assert end - jump <= tail(steps)
    before = annealing(jump, steps)
    rates = [annealing(step, steps, jump) for step in range(jump, end)]
    assert rates[0] == pytest.approx(before)
    assert rates == sorted(rates, reverse=True)
    assert annealing(end, steps, jump) == pytest.approx(0.0, abs=1e-12)
    assert all(annealing(step, steps, jump) == annealing(step, steps) for step in range(jump))


def test_the_watch_calls_when_only_the_tail_still_fits():
    watch = Watch(ends=100.0)
    assert not watch.calls(10, 1000, 0.1, now=80.0)
    assert watch.calls(10, 1000, 0.1, now=89.5)
    assert not watch.calls(950, 1000, 0.1, now=99.0), "the tail has begun anyway"
    assert not Watch().calls(10, 1000, 0.1, now=1e12)


def test_a_stall_does_not_end_a_training_that_has_time(monkeypatch):
    at = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: at[0])
    laps, watch = Laps(expected=0.5), Watch(ends=800.0, expected=0.5)
    for step in range(1, 1001):
        at[0] += 300.0 if step in (1, 5) else 0.1
        assert not watch.calls(step, 1000, laps.lap()), step
    assert laps.lap() <= 0.1


def test_steps_that_stay_slow_change_the_pace(monkeypatch):
    at = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: at[0])
    laps = Laps()
    known = []
    for _ in range(60):
        at[0] += 2.0
        known.append(laps.lap())
    assert known[0] == 0.0
    assert known[-1] == pytest.approx(2.0)


def test_slow_steps_make_the_watch_keep_more_once_the_room_for_surprises_is_used_up():
    watch = Watch(ends=100.0, expected=0.1, reserve=20.0, work=10.0)
    assert not watch.calls(10, 1000, 0.1, now=68.0)
    assert not watch.calls(10, 1000, 0.15, now=63.0), "10 s of work become 15, 20 are kept"
    assert watch.calls(10, 1000, 0.3, now=32.0), "33 s of work, and 33 of annealing"
    assert not watch.over(0.1, now=84.0)
    assert watch.over(0.1, now=86.0), "half of the room for surprises is left to what follows"


@given(st.floats(1, 1e5), st.integers(1, 9))
def test_networks_share_the_time(seconds, members):
    watch = Budget(seconds, time.monotonic()).watch(members, 0.1 * seconds)
    share = max(0.0, seconds - max(0.1 * seconds, 2.0)) / members
    assert not watch.calls(0, 1000, 0.0, now=watch.begins + share - 1.0)
    assert watch.calls(0, 1000, 0.0, now=watch.begins + share + 1.0)


def simulated(seconds, pace, share, members, slower):
    """Time used, and the steps taken and planned, of a run whose clock is simulated.

    ``pace`` is the share of the time that a step takes, ``share`` that of what follows; all takes ``slower(at)`` times as long.
    """
    at = [0.05 * seconds]  # reading
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", lambda: at[0])
        budget, work, pace = Budget(seconds, 0.0), share * seconds, pace * seconds
        kept = reserve(work, budget)
        steps, taken, lap = budget.steps(pace, members, kept), 0, pace
        for number in range(members):
            watch = budget.watch(members - number, kept, pace, work, lap)
            step, jump, laps = 0, None, Laps(watch.pace)
            while step < last_step(steps, jump):
                at[0] += pace * slower(at[0])
                step, lap = step + 1, laps.lap()
                if jump is None and watch.calls(step, steps, lap):
                    jump = step
                if watch.over(lap):
                    break
            taken += step
        at[0] += work * slower(at[0])
    return at[0], taken, steps * members


RUNS = {
    "seconds": st.floats(120, 3600),
    "pace": st.floats(1e-3, 5e-3),  # as a share of all the time
    "share": st.floats(0.01, 0.1),
    "members": st.sampled_from([1, 2, 5]),
}


@settings(max_examples=20, deadline=None)
@given(**RUNS)
def test_a_quiet_machine_uses_nine_tenths_of_the_time(seconds, pace, share, members):
    used, taken, planned = simulated(seconds, pace, share, members, lambda _: 1.0)
    assert taken == planned
    assert 0.9 * seconds <= used <= seconds


@settings(max_examples=40, deadline=None)
@given(**RUNS, times=st.floats(1, 4), begins=st.floats(0, 0.5))
def test_a_run_on_a_machine_that_becomes_slower_ends_in_time(
    seconds, pace, share, members, times, begins
):
    used, _, _ = simulated(
        seconds, pace, share, members, lambda at: times if at > begins * seconds else 1.0
    )
    assert used <= seconds
    assert used >= 0.75 * seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20m", 1200), ("90s", 90), ("1.5h", 5400), ("1h30m", 5400), ("20", 1200), ("2min", 120)],
)
def test_durations(text, seconds):
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "20x", "-3m", "0s", "m", "3m5"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="^" + text + "$"):
        read_duration(text)
