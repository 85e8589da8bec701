"""What a log format's module has, and how its file is found by content.

A module of a format has

- `FORMAT`: what it is, in words for a person ("wandb run file");
- `parts(path, head) -> Sequence[str] | None`: None where the file at `path`, which begins with the bytes `head`, is of
  another format; else the names of the runs in it, `("",)` where it holds one, as in almost all formats. Never raises
  for what a file holds;
- `open_log(paths, part) -> Reader`: a reader of that run from its first byte, spread over `paths` where a format does
  that (TensorBoard's files of one folder, wandb's of one id), else one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # so that a look at what was looked at before needs no numpy
    from diagnostics.readers.table import Table

HEAD = 1 << 16  # bytes of a file that are enough to tell its format


class Reader(Protocol):
    """Reads a log from its beginning, and goes on when it grows."""

    table: Table

    @property
    def position(self) -> int:
        """How many bytes of its files have been read, for a person who waits."""

    def poll(self) -> bool:
        """Read what is new, a few megabytes at most, into `table`; whether there was anything.

        A torn last line or record means "not yet". OSError where the file can no longer be read; never another error,
        whatever it holds: what cannot be read is counted in `table.lost`.
        """

    def finish(self) -> None:
        """Nothing more will come: what is torn at the end is read as far as it goes, or counted as lost."""

    def close(self) -> None:
        """Stop reading."""
