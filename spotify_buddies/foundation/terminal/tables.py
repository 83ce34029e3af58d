"""Tables of text in columns, for people and for files."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence

from spotify_buddies.foundation.terminal.visible import visible

# Beyond any line, so that nothing is folded where no terminal has a width.
_UNLIMITED = 1_000_000


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    right: Collection[int] = (),
    whole: Collection[int] = (),
) -> str:
    """Headers and rows in columns, for `say`; without rows the headers alone. No line ends in a space.

    right: indices of the columns that are aligned to the right, such as numbers; whole: of those that never fold, such
    as times, and neither do those at the right. Cells are shown by `visible`. On a terminal other cells fold to its
    width, and a rule stands below the headers. Elsewhere each row is one line, two spaces between columns. Never
    coloured or truncated. ValueError: a row has more or fewer cells than there are headers.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    # `say` would show colours as escape sequences. The console writes nothing, but knows the encoding of the output.
    console = Console(color_system=None, width=None if terminal else _UNLIMITED)
    looks, padding = (box.SIMPLE_HEAD, (0, 1)) if terminal else (None, (0, 2, 0, 0))
    grid = Table(box=looks, pad_edge=False, padding=padding)
    cells = [[visible(cell) for cell in row] for row in (headers, *rows)]
    for index, header in enumerate(cells[0]):
        at_right = index in right
        # A folded number is read as two.
        unfolded = at_right or index in whole
        widest = max(cell_len(row[index]) for row in cells if len(row) > index) if unfolded else None
        # As Text: a title may hold what rich takes for markup.
        grid.add_column(Text(header), justify="right" if at_right else "left", overflow="fold", min_width=widest)
    for row in cells[1:]:
        if len(row) != len(headers):
            raise ValueError(f"{len(row)} cells under {len(headers)} headers: {row}")
        grid.add_row(*map(Text, row))
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")
