"""Code and formulas as HTML that needs no script and no network."""

from __future__ import annotations

from functools import cache


@cache
def coloured(source: str, lit: range = range(0)) -> str:
    """Python as HTML: spans whose classes say what they are, for the style sheet of the room to colour. The lines that
    are `lit`, counted from 1, are in spans of the class `hll`."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return str(highlight(source, PythonLexer(), HtmlFormatter(nowrap=True, hl_lines=list(lit))))


@cache
def formula(latex: str) -> str:
    """LaTeX as MathML, which browsers draw and screen readers read."""
    from latex2mathml.converter import convert

    return str(convert(latex, display="block"))
