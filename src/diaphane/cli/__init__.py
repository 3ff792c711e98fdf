"""The command line: one small file per verb, heavy rooms imported when a verb runs."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated

import typer

from diaphane.cli.console import Settings

VERBS = (
    "demo",
    "info",
    "analyze",
    "receive",
    "send",
    "find",
    "train",
    "pretrain",
    "plan",
    "evaluate",
    "calibrate",
    "compare",
    "predict",
    "select",
    "anomaly",
    "preprocess",
    "denoise",
    "convert",
    "index",
    "deidentify",
    "reidentify",
    "audit",
    "bundles",
)
"""In the order of ``diaphane --help``; each is a function of that name in a file of that name."""

app = typer.Typer(
    name="diaphane",
    help="From a scan to a measured, calibrated finding that shows exactly why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        import diaphane

        typer.echo(f"diaphane {diaphane.__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    """From a scan to a measured, calibrated finding that shows exactly why.

    Not a medical device: for research only.
    """
    del version
    Settings.debug = debug


for _name in VERBS:
    _module = importlib.import_module(f"diaphane.cli.{_name}")
    app.command(name=_name)(getattr(_module, _name))


def main() -> None:
    """Entry point of ``diaphane`` and ``python -m diaphane``."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    app()
