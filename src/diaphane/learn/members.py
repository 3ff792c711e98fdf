"""All networks of a run: trained one after another or side by side, and told of on the way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from diaphane.learn.budget import Budget, Watch, last_step
from diaphane.learn.history import Epoch, History
from diaphane.learn.loop import Task, fit_member
from diaphane.learn.rhythm import Rhythm
from diaphane.learn.runs import RunFolder, Voice, duration
from diaphane.learn.settled import Settled
from diaphane.learn.side_by_side import Message, Send, side_by_side
from diaphane.learn.splits import Member
from diaphane.models import EvidenceNet, load_checkpoint, save_checkpoint


class _Chronicle(History):
    """The epochs of one network, in a file of its own, and handed on.

    The file is written before the network's state is, so a process that is killed loses no epoch
    that will not be done again.
    """

    def __init__(self, path: Path, send: Send) -> None:
        super().__init__(path, lambda epoch: send({"add": asdict(epoch)}))
        self.send = send

    def forget_after(self, member: int, epoch: int) -> None:
        super().forget_after(member, epoch)
        self.send({"forget": [member, epoch]})


@dataclass(eq=False)
class Members:
    """Trains what is not there yet.

    Attributes
    ----------
    task:
        What all networks have in common; its history and state are set here.
    folder:
        Of the run; finished networks and states of those at work lie there.
    watch:
        Told of every epoch.
    stopwatch:
        Seconds that the run has taken so far.
    """

    task: Task
    members: Sequence[Member]
    folder: RunFolder
    voice: Voice
    settled: Settled
    budget: Budget | None
    watch: Callable[[Epoch], None] | None
    stopwatch: Callable[[], float]

    def __post_init__(self) -> None:
        self.history = History(self.folder.metrics, self.watch)
        for path in self._chronicles():  # what a killed process had no time to hand on
            own = History(path).epochs
            known = {epoch.member for epoch in own}
            self.history.epochs = [e for e in self.history.epochs if e.member not in known] + own
        self.pace: list[float] = []
        self.steps: dict[int, int] = {}
        self.last: Epoch | None = None

    def train(self) -> list[EvidenceNet]:
        """Every network, in order.

        Raises
        ------
        Diverged
            A loss is not finite.
        """
        waiting = [n for n in range(len(self.members)) if not self._kept(n).is_file()]
        jobs = {f"network {n + 1}": self._job(n, waiting) for n in waiting}
        at_once = min(self.settled.arranged.at_once, len(waiting))
        side_by_side(jobs, at_once, self._hear, threads=self.settled.threads)
        for path in self._chronicles():
            path.unlink()
        nets = [load_checkpoint(self._kept(n)) for n in range(len(self.members))]
        assert all(isinstance(net, EvidenceNet) for net in nets)
        return [net for net in nets if isinstance(net, EvidenceNet)]

    def _kept(self, number: int) -> Path:
        """Where a network goes when it has learned."""
        if self.task.plan.shares_out:
            return self.folder.trained(number)
        return self.folder.member(number)

    def _chronicles(self) -> list[Path]:
        return sorted(self.folder.learning(0).parent.glob("epochs-*.csv"))

    def _job(self, number: int, waiting: Sequence[int]) -> Callable[[Send], Message]:
        """Train one network and keep it."""

        def job(send: Send) -> Message:
            state, path = self.folder.learning(number), self._kept(number)
            chronicle = _Chronicle(state.with_name(f"epochs-{number:03d}.csv"), send)
            task = replace(
                self.task, state=state, history=chronicle,
                say=lambda text: send({"say": text}),
            )  # fmt: skip

            def told(_: Epoch, left: int) -> None:
                send({"left": left})

            left = len(waiting) - waiting.index(number)
            net, position = fit_member(task, number, self.members[number], told, self._clock(left))
            path.parent.mkdir(parents=True, exist_ok=True)
            save_checkpoint(net, path)
            state.unlink(missing_ok=True)
            done = {
                "number": number, "jump": position.jump, "cut": position.cut,
                "pieces": position.pieces,
            }  # fmt: skip
            send({"done": done})
            return done

        return job

    def _clock(self, left: int) -> Watch | None:
        """When the next of so many networks must be done."""
        if self.budget is None:
            return None
        settled = self.settled
        rounds = math.ceil(left / settled.arranged.at_once)
        pace = float(np.median(self.pace[-20:])) if self.pace else None
        return self.budget.watch(rounds, settled.reserve, settled.pace, settled.work, pace)

    def _hear(self, name: str, said: Message) -> None:
        if "forget" in said:
            self.history.forget_after(*said["forget"])
        elif "add" in said:
            self.last = Epoch(**said["add"])
            self.history.add(self.last)
        elif "left" in said:
            assert self.last is not None
            self._tell(self.last, said["left"])
        elif "say" in said:
            many = len(self.members) > 1
            self.voice.say(f"{name}: {said['say']}" if many else said["say"])
        elif "done" in said:
            self._done(**said["done"])

    def _done(self, number: int, jump: int | None, cut: int | None, pieces: int) -> None:
        folder = self.folder
        steps = Rhythm.of(self.task.plan, len(self.members[number].fit)).steps
        if jump is not None:
            early = {**folder.read_state().get("annealed_early_at", {}), str(number): jump}
            folder.update_state(annealed_early_at=early)
            self.voice.say(
                f"note: time was short; network {number + 1} went to its final annealing at "
                f"step {jump} and ended at {cut or last_step(steps, jump)} of {steps}."
            )
        elif cut is not None:
            self.voice.say(f"note: time was short; network {number + 1} ended at {cut} of {steps}.")
        if pieces > 1:
            folder.update_state(batch_pieces=pieces)
        folder.update_state(seconds=self.stopwatch())

    def _tell(self, epoch: Epoch, left: int) -> None:
        """Say where training is, and how long it will take."""
        rhythm = Rhythm.of(self.task.plan, len(self.members[epoch.member].fit))
        taken = min(rhythm.look, epoch.step - self.steps.get(epoch.member, 0)) or 1
        self.steps[epoch.member] = epoch.step
        self.pace.append(epoch.seconds / taken)
        mean = float(np.mean(self.pace[-20:]))
        done = sum(self.steps.values()) / (rhythm.steps * len(self.members))
        rounds = math.ceil(len(self.members) / self.settled.arranged.at_once)
        begun = math.ceil(len(self.steps) / self.settled.arranged.at_once)
        waiting = (left + rhythm.steps * (rounds - begun)) * mean
        line = _line(epoch, len(self.members), -(-rhythm.steps // rhythm.look), waiting)
        self.voice.progress(line, 0.3 + 0.67 * min(1.0, done))
        self.voice.say(line)


def _line(epoch: Epoch, members: int, epochs: int, waiting: float) -> str:
    """One line for a person: where training is, and how long it will take."""
    which = f"network {epoch.member + 1}/{members} (fold {epoch.fold + 1}), " if members > 1 else ""
    text = f"{which}epoch {epoch.epoch + 1}/{epochs}: loss {epoch.loss:.3f}"
    if epoch.stop_loss is not None:
        text += f", held-out loss {epoch.stop_loss:.3f}"
    if epoch.stop_metric is not None:
        text += f", AUC {epoch.stop_metric:.3f}"
    return f"{text}; at most {duration(waiting)} left"
