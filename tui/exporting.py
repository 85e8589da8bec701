"""Writes the report on what is shown into a file of a person's choosing: in a thread, for a long log takes seconds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from diagnostics.errors import UserError
from diagnostics.text import visible
from diagnostics.user_map import UserMap
from studies.log import trial_directory
from studies.record import StudyRecord, TrialRecord
from tui.aside import aside
from tui.log_status import Run

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel

    from diagnostics.rule import Catalogue
    from diagnostics.sources import Source
    from tui.app import MonitorApp

PAGES, TEXTS, PICTURE = (".html", ".htm"), (".md",), ".svg"
Account = Callable[[StudyRecord], str]  # a study in words, as Markdown
Text = Callable[[Path], str]  # what is written into a file of that name


@dataclass(frozen=True, slots=True)
class Subject:
    """What is shown: its `name`, and `log`, what it is called among the logs at `place`; empty for all of them."""

    name: str
    place: Path
    log: str = ""


class Exporting:
    """Asks where to, then writes. Names are read by a person's map `mine`, and what is in logs is judged by `rules`."""

    def __init__(self, app: MonitorApp, mine: UserMap | None, rules: Catalogue | None, account: Account | None) -> None:
        self._app, self._mine, self._rules, self._account = app, mine, rules, account

    async def begin(self) -> None:
        """Ask for the name of a file; its end says what is written."""
        app = self._app
        subject = shown(app)
        if subject is None:
            app.notify("nothing was read yet that could be exported", severity="warning", markup=False)
            return
        study = app.watched.study if subject.place == app.path and not subject.log else None
        account = self._account

        def text(path: Path) -> str:
            if study is not None and account is not None and path.suffix.lower() in TEXTS:
                return account(study)
            return report(sources(subject), path, self._mine, self._rules)

        def tell(name: str) -> str:
            if name.lower().endswith(TEXTS):
                return "the account of the study, trial by trial" if study and account else "for an issue or a chat"
            if study and account:
                return "what was found in each trial, with its curves; what was changed and whether it helped: .md"
            return "a page of its own, with the curves; for an issue or a chat let it end in .md"

        ends = (*TEXTS, *PAGES) if study and account else (*PAGES, *TEXTS)  # what tells most comes first
        await self._ask(f"The report on {subject.name} goes into the file", subject.name, ends, text, tell)

    async def picture(self) -> None:
        """The same with a picture of the screen as it is."""
        subject, svg = shown(self._app), self._app.export_screenshot()
        name = subject.name if subject else "monitor"
        await self._ask("The picture of this screen goes into the file", name, (PICTURE,), lambda _: svg, lambda _: "")

    async def _ask(
        self,
        title: str,
        name: str,
        ends: Sequence[str],
        text: Text,
        tell: Callable[[str], str],
    ) -> None:
        from tui.screens.line import Line

        def check(written: str) -> str:
            return "" if written.strip().lower().endswith(tuple(ends)) else f"a name that ends in {' or '.join(ends)}"

        dialog = Line(
            visible(title),
            lambda written, _: Path(written),
            value=f"{file_name(name)}{ends[0]}",
            check=check,
            tell=tell,
            doing="write it",
        )
        await self._app.push_screen(dialog, lambda path: self._begin(path, text) if path is not None else None)

    def _begin(self, path: Path, text: Text, *, over: bool = False) -> None:
        self._app.notify(f"writing {visible(str(path))}", markup=False)
        aside(self._app, lambda: write(path, text, over=over), partial(self._written, path, text))

    def _written(self, path: Path, text: Text, outcome: Written) -> None:
        """Say what came of it, or ask whether to write over what is there."""
        if outcome.there:
            from tui.screens.confirm import Confirm

            question = Confirm(f"{visible(str(path))} is there already.", {"y": ("write over it", True)})
            self._app.push_screen(question, lambda yes: self._begin(path, text, over=True) if yes else None)
        else:
            severity: SeverityLevel = "error" if outcome.failed else "information"
            self._app.notify(visible(outcome.told), severity=severity, timeout=10, markup=False)


@dataclass(frozen=True, slots=True)
class Written:
    """What came of writing, in one line; `there` says that another file has the name, and nothing was done."""

    told: str = ""
    failed: bool = False
    there: bool = False


def write(path: Path, text: Text, *, over: bool = False) -> Written:
    """Make the text for the file at `path` and write it; `over` another file only where that is said."""
    try:
        path = path.expanduser()
        if path.exists() and not over:
            return Written(there=True)
        written = text(path)
        with path.open("w" if over else "x", encoding="utf-8") as file:
            file.write(written)
    except (UserError, RuntimeError) as error:  # RuntimeError: nobody's home is known
        return Written(str(error), failed=True)
    except OSError as error:
        return Written(f"cannot write {path}: {error.strerror or error}", failed=True)
    return Written(f"it is in {path.absolute()}")


def shown(app: MonitorApp) -> Subject | None:
    """What the screen in front is about: on the first screen of a study all of it, else the selected run."""
    watched, run = app.watched, app.watched.run
    study = watched.study
    if study is not None and (app.current_mode == "study" or run is None):
        return Subject(app.path.resolve().name, app.path)
    if run is None:
        return None
    if isinstance(run.of, Run):
        return Subject(run.of.log.name, app.path, run.of.log.name)
    assert isinstance(run.of, TrialRecord)
    return Subject(f"{app.path.resolve().name} {run.name}", trial_directory(app.path, run.of.number))


def sources(subject: Subject) -> list[Source]:
    """The logs that `subject` names. UserError where there is none any more."""
    from diagnostics.sources import find

    found = [source for source in find(subject.place).sources if subject.log in ("", source.name)]
    if not found:
        raise UserError(f"{subject.name} is not there any more", "")
    return found


def report(logs: Sequence[Source], path: Path, mine: UserMap | None, rules: Catalogue | None) -> str:
    """The reports on `logs` as `autotune diagnose` has them. UserError where one is unreadable, or lies at `path`."""
    from diagnostics.details import details
    from diagnostics.engine import diagnose
    from diagnostics.logs import read
    from diagnostics.report import html, markdown

    if path.exists() and any(path.samefile(file) for log in logs for file in log.paths if file.exists()):
        raise UserError(f"{path} is a log, which the report would overwrite", "Choose another name.")
    reports, pages = [], []
    for log in logs:
        runs = read(log, mine)
        reports.append(diagnose(runs, rules))
        if path.suffix.lower() in PAGES:
            important = [evidence.metric for finding in reports[-1].findings for evidence in finding.evidence]
            pages.append(details(runs, log, important, len(logs)))
    return html.render(reports, pages) if pages else markdown.render(reports)


def file_name(name: str) -> str:
    """What a file on `name` may be called: of a path the last part, without what a shell or a disk would stumble on."""
    last = Path(name).name or name
    plain = re.sub(r"[^\w.-]+", "-", last.removesuffix(".jsonl").removesuffix(".wandb")).strip("-.")
    return plain[:80] or "report"
