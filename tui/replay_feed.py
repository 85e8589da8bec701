"""What the monitor knows of a replay: read as a study or a log that goes on is read, as far as it was played."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostics.errors import UserError
from diagnostics.sources import Found, Source
from diagnostics.user_map import UserMap
from studies.log import is_running
from tui.feed import Feed, Snapshot
from tui.log_feed import Followed, LogFeed, Logs, Version
from tui.replay import Playback
from tui.replay_lines import Lines

if TYPE_CHECKING:
    from diagnostics.rule import Catalogue
    from tui.replay_rows import Rows

OURS = "events"  # the format of what our own trainers write


def check(path: Path, found: Found | None) -> None:
    """UserError where the study at `path` still runs, or what was `found` there is more than one log."""
    if found is None:
        if is_running(path):
            raise UserError(f"the study in {path} still runs", f"Watch it: autotune monitor {path}")
    elif len(found.sources) != 1:
        what = f"{path} holds {len(found.sources)} logs, and one is replayed at a time"
        raise UserError(what, f"Give one of them, such as {found.sources[0].paths[0]}" if found.sources else "")


class StudyReplay(Feed):
    """Plays the study in `directory`."""

    def __init__(
        self,
        directory: Path,
        publish: Callable[[Snapshot], None],
        failed: Callable[[BaseException], None],
        playback: Playback,
    ) -> None:
        self._original, self._playback, self.lines = directory, playback, Lines(directory, playback)
        super().__init__(self.lines.folder, publish, failed)

    def _read(self) -> Snapshot:
        self._playback.advance()
        self.lines.play()
        snapshot = super()._read()
        study = snapshot.study and replace(snapshot.study, directory=self._original)
        return replace(snapshot, study=study, replayed=True)

    def tell(self, snapshot: Snapshot) -> None:
        """Publish `snapshot`, and the time that it is of."""
        self._playback.show()
        super().tell(snapshot)

    def clear_away(self) -> None:
        """Take away the folder that the study was played in."""
        self.lines.remove()


class LogReplay(LogFeed):
    """Plays the one log that was `found` at `path`: what our trainers wrote line by line, any other step by step."""

    def __init__(
        self,
        path: Path,
        found: Found,
        publish: Callable[[Logs], None],
        failed: Callable[[BaseException], None],
        playback: Playback,
        *,
        mine: UserMap | None = None,
        rules: Catalogue | None = None,
    ) -> None:
        self._playback = playback
        self.lines: Lines | None = None
        (source,) = found.sources
        if source.format == OURS:
            self.lines = Lines(source.paths[0], playback)
            source = replace(source, paths=(self.lines.folder,))
        super().__init__(path, Found((source,)), publish, failed, mine=mine, rules=rules, clock=playback.reading)

    def tell(self, snapshot: Logs) -> None:
        """Publish `snapshot`, and the time that it is of."""
        self._playback.show()
        super().tell(snapshot)

    def clear_away(self) -> None:
        """Take away the folder that the run was played in."""
        if self.lines is not None:
            self.lines.remove()

    def _search(self) -> None:
        """Nothing new comes to the path but what is played."""
        self._playback.advance()
        try:
            if self.lines is not None:
                self.lines.play()
            self._trouble = ""
        except (UserError, OSError) as error:
            self._trouble = str(error)
        self._follow_found()

    def _follow(self, source: Source) -> Followed:
        if self.lines is not None:
            return super()._follow(source)
        return _Replayed(source, self._mine, self._rules, playback=self._playback)


@dataclass(slots=True)
class _Replayed(Followed):
    """A log that is read whole at first, and then seen to grow. (In a class with slots `super()` finds no class.)"""

    playback: Playback = field(kw_only=True)
    _rows: Rows | None = None

    def _log(self) -> Rows:
        from tui.replay_rows import Rows

        if self._rows is None:
            self._rows = Rows(Followed._log(self), self.playback, self.view.written)
        return self._rows

    def _written_to(self) -> Version:
        version = Followed._written_to(self)
        if self._rows is None or not self._rows.began:
            return version
        shown, written = self._rows.shown
        return ((shown, sum(size for _, size, _ in version), int(written * 1e9)),)

    def _is_over(self, now: float, written: float) -> bool:
        return self.playback.over
