"""Runs ``diaphane train`` again and again and kills it, as a script: ``DATA PLAN OUT SEED``.

Libraries are imported once and every command runs in a fork, since starting Python anew takes
longer than the training. Prints, as JSON, the exit code of the last command and the steps at which
the others were killed.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

LATE = (
    "diaphane.explain", "diaphane.learn", "diaphane.report", "onnxruntime", "scipy.ndimage",
    "scipy.optimize", "sklearn.metrics", "sklearn.model_selection", "torch._dynamo",
)  # fmt: skip


def main(data: str, plan: str, out: str, seed: int) -> None:
    """Kill ten times, then let it finish."""
    for name in LATE:  # so that forks need not import them
        importlib.import_module(name)
    from safetensors import safe_open

    from diaphane.cli import app

    draw = random.Random(seed)
    run = Path(out)
    current = run / "checkpoint" / "current.safetensors"

    def start(last: bool) -> int:
        words = ["train", data, "--out", out, "--quiet"]
        if (run / "run.json").exists():
            words.append("--resume")
        else:
            words += ["--plan", plan, "--threads", "1", "--time-budget", "30m"]
        pid = os.fork()
        if pid == 0:
            sys.argv = ["diaphane", *words]
            try:
                app()
            except SystemExit as error:
                os._exit(int(error.code or 0))
            os._exit(99)
        return pid

    def writes() -> int:
        try:
            return current.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    killed: list[int | None] = []
    while len(killed) < 10:
        pid = start(False)
        wanted, seen, at = draw.randrange(0, 4), 0, writes()
        end = time.monotonic() + 60
        while seen < wanted and time.monotonic() < end:
            done, code = os.waitpid(pid, os.WNOHANG)
            if done:
                raise SystemExit(f"ended by itself with {code} before it was killed")
            now = writes()
            seen, at = seen + (now != at), now
            time.sleep(0.002)
        time.sleep(draw.random() * 0.1)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        step = None
        if current.is_file():
            with safe_open(current, framework="np") as file:
                step = json.loads(file.metadata()["diaphane"])["step"]
        killed.append(step)
    _, code = os.waitpid(start(True), 0)
    print(json.dumps({"code": os.waitstatus_to_exitcode(code), "killed_at": killed}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
