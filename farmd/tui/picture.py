"""A frame as an SVG picture that fetches nothing from anywhere, fonts included."""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text

FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" xml:space="preserve">
<style>
.{unique_id}-matrix {{
    font-family: "DejaVu Sans Mono", Menlo, Consolas, "Liberation Mono", monospace;
    font-size: {char_height}px;
    line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""As rich's own, without its web fonts."""


def svg(page: Text, width: int, title: str) -> str:
    """The picture of a page of so many characters a line."""
    console = Console(width=width, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor",
                      legacy_windows=False, no_color=False)  # fmt: skip
    console.print(page)
    return console.export_svg(title=title, code_format=FORMAT, unique_id="farm")
