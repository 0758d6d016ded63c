"""Formulas as MathML, which browsers draw by themselves: no script, nothing fetched.

Docutils knows the usual LaTeX, `aligned` and `cases` among it, and lines up rows at `&` by itself;
a formula that it does not know is a warning, and so an error.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError, unichar2tex
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

ENVELOPE = re.compile(
    r"\\begin\{(align|equation|gather)(\*?)\}(?P<formula>.*)\\end\{\1\2\}", re.DOTALL
)
"""What stands around a displayed formula in LaTeX, and is implied in MathML."""


def convert(node: nodes.Element, *, as_block: bool) -> str:
    """Turn the LaTeX of a node into MathML."""
    tex = node.astext().strip().translate(unichar2tex.uni2tex_table)
    if envelope := ENVELOPE.fullmatch(tex):
        tex = envelope["formula"].strip()
    try:
        return tex2mathml(tex, as_block=as_block)
    except MathError as error:
        logger.warning("formula %r: %s", tex, error, location=node)
        return ""


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    self.body.append(convert(node, as_block=False))
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula that stands by itself, with its number if it has one."""
    self.body.append(self.starttag(node, "div", CLASS="math"))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, _("Link to this equation"))
        self.body.append("</span>")
    self.body.append(convert(node, as_block=True))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer under the name that `html_math_renderer` uses."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
