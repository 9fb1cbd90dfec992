"""Indented equations of docstrings keep their lines and have letters of one width, as in the source."""

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx


def keep_lines(app: Sphinx, doctree: nodes.document) -> None:
    """Makes literal blocks of the quotations in descriptions of classes and functions, which are equations."""
    for quote in list(doctree.findall(nodes.block_quote)):
        if not isinstance(quote.parent, addnodes.desc_content):
            continue
        if all(isinstance(child, nodes.paragraph) for child in quote.children):
            text = "\n".join(child.rawsource or child.astext() for child in quote.children)
            quote.replace_self(nodes.literal_block(text=text.replace("``", ""), language="text"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Connects to each page once it is read."""
    app.connect("doctree-read", keep_lines)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
