"""The directive ``drawing``: an SVG of ``_static`` within the page, in the page's own colours, light and dark."""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Drawing(SphinxDirective):
    """Shows a file of ``_static``; a narrow screen scrolls it sideways."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir) / "_static" / self.arguments[0]
        self.env.note_dependency(str(path))
        if not path.is_file():
            raise self.error(f"there is no drawing {path.name} in _static")
        html = f'<div class="drawing-frame">{path.read_text()}</div>'
        return [nodes.raw(text=html, format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("drawing", Drawing)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
