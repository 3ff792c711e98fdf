"""``python -m diaphane`` is the same as ``diaphane``."""

from diaphane.cli import main

main()
