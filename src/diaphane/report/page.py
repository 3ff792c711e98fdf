"""From a template and its values to one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from diaphane import __version__
from diaphane.report.language import Language


def render(template: str, lang: Language, values: Mapping[str, Any]) -> str:
    """The page of that template.

    Style and script stand inside the page. A content security policy allows this script, by
    its hash, and nothing from elsewhere. All values are escaped but the markup of our charts.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    home = files("diaphane.report") / "templates"
    script = (home / "script.js").read_text(encoding="utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{base64.b64encode(digest).decode()}'; "
        "base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        loader=PackageLoader("diaphane.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # set by the extension
        lang.translations.gettext, lang.translations.ngettext, newstyle=True
    )
    # Charts escape their own text, so their markup goes in as it is.
    environment.filters["chart"] = Markup
    style = (home / "style.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(
        **values,
        lang=lang,
        zip=zip,
        policy=policy,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        version=__version__,
    )
