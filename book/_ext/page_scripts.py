"""The scripts of a page: one of each, and none that does nothing.

Sphinx 7.4 writes a script that has no file name twice, and the second copy of sphinx-thebe's
(which Jupyter Book always loads) fails: "THEBE_JS_URL has already been declared".

The theme brings its icons twice, as fonts and as a script of 1.5 MB. The fonts do.
"""

import re
from pathlib import Path

ICONS = re.compile(r'<script[^>]*src="[^"]*/fontawesome\.js[^"]*"[^>]*></script>')


def once(app, pagename, templatename, context, doctree):
    unique = {script.attributes.get("body", script): script for script in context["script_files"]}
    context["script_files"] = list(unique.values())


def without_icons(app, error):
    if error is None and app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            text = page.read_text(encoding="utf-8")
            if ICONS.search(text):
                page.write_text(ICONS.sub("", text), encoding="utf-8")


def setup(app):
    app.connect("html-page-context", once, priority=900)
    app.connect("build-finished", without_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
