"""Formulas drawn by matplotlib as SVG in the page's own colours: no script, no font and no network."""

import html
import re

from docutils import nodes
from matplotlib import rc_context
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

log = logging.getLogger(__name__)

EM = 20.0  # units of a drawing in the height of the text around it
LETTERS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}
NAMES = {r"\le": r"\leq", r"\dots": r"\ldots", r"\Bigl": "", r"\Bigr": ""}  # of TeX that matplotlib calls otherwise


def tex_of(node: nodes.math | nodes.math_block) -> str:
    """The formula on one line, in matplotlib's words; in a block with fractions of full height."""
    text = " ".join(node.astext().split())
    if isinstance(node, nodes.math_block):
        text = text.replace(r"\frac", r"\dfrac")
    return re.sub(r"\\[A-Za-z]+", lambda name: NAMES.get(name[0], name[0]), text)


def drawing(tex: str) -> str:
    """An SVG of a formula, which stands on the line of the text around it.

    Raises:
        ValueError: matplotlib cannot read it.
    """
    with rc_context({"mathtext.fontset": "cm"}):
        font = FontProperties(size=EM)
        width, height, depth, _, _ = MathTextParser("path").parse(f"${tex}$", 72, font)
        path = TextPath((0, 0), f"${tex}$", prop=font)
    shape = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        pairs = zip(points[::2], points[1::2], strict=True)
        shown = "" if code == Path.CLOSEPOLY else " ".join(f"{x:.2f} {-y:.2f}" for x, y in pairs)
        shape.append(LETTERS[code] + shown)
    box = f"-1 {-height - 1:.2f} {width + 2:.2f} {height + depth + 2:.2f}"
    style = f"width:{(width + 2) / EM:.3f}em;vertical-align:{-(depth + 1) / EM:.3f}em"
    return (
        f'<svg class="formula" role="img" aria-label="{html.escape(tex)}" viewBox="{box}" style="{style}">'
        f'<path d="{"".join(shape)}"/></svg>'
    )


def drawn(node: nodes.math | nodes.math_block) -> str:
    """The drawing of a formula; one that cannot be drawn is a warning, and stands as it is written."""
    tex = tex_of(node)
    try:
        return drawing(tex)
    except ValueError as error:
        log.warning("formula %r: %s", tex, str(error).splitlines()[-1], location=node)
        return f"<code>{html.escape(tex)}</code>"


def visit_inline(writer: HTML5Translator, node: nodes.math) -> None:
    """Writes a formula within a line."""
    writer.body.append(drawn(node))
    raise nodes.SkipNode


def visit_block(writer: HTML5Translator, node: nodes.math_block) -> None:
    """Writes a formula of its own line."""
    writer.body.append(f'<div class="formula">{drawn(node)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the renderer."""
    app.add_html_math_renderer("drawn", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
