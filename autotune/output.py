"""What the commands print: for the terminal that stdout is, plainly where it is none."""

from __future__ import annotations

from rich.console import Console, RenderableType


def show(*renderables: RenderableType) -> None:
    """Print `renderables` to stdout. BrokenPipeError is left to the handler of the command line."""
    console = Console(highlight=False, emoji=False, markup=False)
    with console.capture() as captured:  # rich would turn a broken pipe into exit status 1, which says "findings"
        for renderable in renderables:
            console.print(renderable)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    if lines:
        print("\n".join(lines))
