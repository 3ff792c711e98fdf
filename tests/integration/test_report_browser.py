"""The report in a real browser: no complaints, the slider moves, the window switches."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from diaphane.report import write_analysis

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

pytestmark = pytest.mark.integration

# Runs after the page's own script; what it finds is left in the page for --dump-dom.
PROBE = """
const slider = document.querySelector("input.opacity");
const layer = document.querySelector(".zooms .layer");
const seen = (name) => getComputedStyle(
  document.querySelector(`.whole .window.${name}`)).visibility;
const said = [getComputedStyle(layer).opacity, seen("lung"), seen("soft")];
slider.value = 20;
slider.dispatchEvent(new Event("input", { bubbles: true }));
document.querySelector(".to-soft").checked = true;
document.querySelector(".to-outline").checked = false;
said.push(getComputedStyle(layer).opacity, seen("lung"), seen("soft"));
said.push(getComputedStyle(document.querySelector(".whole svg.outline")).display);
said.push(slider.parentElement.querySelector("output").textContent);
document.documentElement.dataset.said = said.join(" ");
"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("chromium is not installed")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from conftest import study

    folder = tmp_path_factory.mktemp("page")
    write_analysis(study(), folder)
    return folder / "report.html"


def browse(program: str, page: Path, room: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars", "--enable-logging=stderr", f"--user-data-dir={room}",
            "--window-size=1280,1600", *options, page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_browser_has_no_complaint(chromium, page, tmp_path) -> None:
    done = browse(chromium, page, tmp_path / "room", f"--screenshot={tmp_path / 'page.png'}")
    complaints = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    assert complaints == []
    assert (tmp_path / "page.png").stat().st_size > 50_000


def test_slider_window_and_outline_do_what_they_say(chromium, page, tmp_path) -> None:
    probed = tmp_path / "probed.html"
    text = page.read_text(encoding="utf-8")
    # The policy stops foreign scripts, as it should: the probe is let in for this copy alone.
    text = re.sub(r"script-src [^;]*;", "script-src 'unsafe-inline';", text)
    probed.write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"), encoding="utf-8")
    dom = browse(chromium, probed, tmp_path / "room", "--dump-dom").stdout
    said = re.search(r'data-said="([^"]*)"', dom)
    assert said is not None
    assert said.group(1) == "0.65 visible hidden 0.2 hidden visible none 20%"


def test_a_foreign_script_is_stopped(chromium, page, tmp_path) -> None:
    foreign = tmp_path / "foreign.html"
    text = page.read_text(encoding="utf-8")
    script = "<script>document.documentElement.dataset.foreign = 1</script></body>"
    foreign.write_text(text.replace("</body>", script), encoding="utf-8")
    done = browse(chromium, foreign, tmp_path / "room", "--dump-dom")
    assert "data-foreign" not in done.stdout.split(">", 2)[1]
    assert any(":CONSOLE" in line for line in done.stderr.splitlines())
