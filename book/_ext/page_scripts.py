"""Keep one of each inline script on a page.

Sphinx 7.4 writes a script that has no file name twice, and the second copy of sphinx-thebe's
(which Jupyter Book always loads) fails: "THEBE_JS_URL has already been declared".
"""


def once(app, pagename, templatename, context, doctree):
    unique = {script.attributes.get("body", script): script for script in context["script_files"]}
    context["script_files"] = list(unique.values())


def setup(app):
    app.connect("html-page-context", once, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
