"""What the settings of recorded runs tell before them: python tests/corpus/table_lint.py

A row for each configuration: the recorded pathologies, our own runs, and those of other people as far as their logs
hold settings. `must` is what the settings alone can tell, by tests/data/foreseen.toml. At WARNING or above a finding is
false where the label has nothing of what such settings lead to, neither present nor allowed.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from labels import DATA, OURS, PATHOLOGIES, SHARED, Label, Run, corpora, runs

from diagnostics.configs.config import Config, Given, NoConfig
from diagnostics.configs.linting import lint
from diagnostics.finding import Finding, Severity
from diagnostics.judging import linted
from diagnostics.readers.table import flat
from diagnostics.rule import all_lints

# What becomes of a run with such settings: any of these in its label, present or allowed, makes a warning right.
LEADS_TO: Mapping[str, frozenset[str]] = {
    "CFG001": frozenset({"RWD001"}),
    "CFG002": frozenset({"GEN001", "GEN002"}),
    "CFG003": frozenset({"GEN001", "GEN002"}),
    "CFG005": frozenset({"KL004", "RWD004", "RWD003", "RWD008", "VAL001"}),
    "CFG007": frozenset({"RWD001", "DIV001"}),
    "CFG009": frozenset({"NUM001", "KL002", "RWD002", "RWD004"}),
    "CFG012": frozenset({"RWD004"}),
    "CFG014": frozenset({"UPD001", "UPD002"}),
    "CFG015": frozenset({"VAL001", "VAL002", "VAL003"}),
    "CFG016": frozenset({"LEN001"}),
}


@dataclass(frozen=True, slots=True)
class Foreseen:
    """One configuration: what it must tell, and what was told. `name` is of the run, or of the scenario."""

    name: str
    label: Label
    must: frozenset[str]
    settings: int
    told: tuple[Finding, ...]

    @property
    def missed(self) -> frozenset[str]:
        """What its settings tell and was not told."""
        return self.must - {finding.code for finding in self.told}

    @property
    def false(self) -> list[Finding]:
        """What was said at WARNING or above, and did not come."""
        came = self.label.maybe.union(*(wanted.codes for wanted in self.label.present))
        return [
            finding
            for finding in self.told
            if finding.severity >= Severity.WARNING
            and not came & ({finding.code} | LEADS_TO.get(finding.code, frozenset()))
        ]


def foreseen(corpus: str) -> Sequence[Foreseen]:
    """What the configurations of a corpus tell; those of runs without settings are left out."""
    return tuple({PATHOLOGIES: _pathologies, OURS: _ours, SHARED: _shared}[corpus]())


@cache
def truth() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """What the settings alone can tell, by corpus and name."""
    return tomllib.loads((DATA / "foreseen.toml").read_text(encoding="utf-8"))


def _pathologies() -> Iterator[Foreseen]:
    labels = {run.name.rpartition("/")[0]: run.label for run in runs(PATHOLOGIES)}
    for folder in sorted((DATA / "pathologies").iterdir()):
        if not folder.is_dir():
            continue
        data = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        given = {name: Given(value) for name, value in flat(data["cfg"])}
        if "n_prompts" in data:
            given["n_prompts"] = Given(data["n_prompts"])
        config = Config(str(folder / "config.json"), "JSON", given, f"lab-{data['algo']}", processes=Given(1))
        must = frozenset(truth()["pathologies"].get(folder.name, ()))
        yield _told(folder.name, labels[folder.name], must, config)


def _ours() -> Iterator[Foreseen]:
    for run in runs(OURS):  # their settings are canonical as they were recorded
        settings = run.segments[0].settings
        found, _ = linted(run.segments[0], [judge for judge in all_lints().values() if not judge.ahead])
        must = frozenset(truth()["runs"].get(run.name, ()))
        yield Foreseen(run.name, run.label, must, len(settings), tuple(found))


def _shared() -> Iterator[Foreseen]:
    for run in runs(SHARED):
        config = _config_of(run)
        if config is None:
            continue
        try:
            yield _told(run.name, run.label, frozenset(truth()["shared"].get(run.name, ())), config)
        except NoConfig:
            continue


def _config_of(run: Run) -> Config | None:
    """The settings in a log, as the framework wrote them."""
    raw = run.segments[0].raw_settings if run.segments else {}
    given = {name: Given(value) for name, value in flat(raw)}
    if not given:
        return None
    some = ("a log may hold some of them only",)
    return Config(run.name, "the settings in a log", given, run.segments[0].framework, open=some, document=True)


def _told(name: str, label: Label, must: frozenset[str], config: Config) -> Foreseen:
    told = lint(config)
    return Foreseen(name, label, must, len(told.settings), tuple(placed.finding for placed in told.findings))


def main() -> None:
    """Print the tables."""
    if SHARED not in corpora():
        print("AUTOTUNE_CORPUS is not set: the folder with the shared real runs. They are left out.")
    for corpus in corpora():
        rows = foreseen(corpus)
        print(f"\n## {corpus}: {len(rows)} configurations with settings of {len(runs(corpus))} runs\n")
        print("| | label | settings | must tell | tells at WARNING or above | worth knowing | |")
        print("|---|---|---:|---|---|---|---|")
        for row in rows:
            loud = ", ".join(f.code for f in row.told if f.severity >= Severity.WARNING)
            quiet = ", ".join(f.code for f in row.told if f.severity < Severity.WARNING)
            wrong = [f"MISSED {code}" for code in sorted(row.missed)] + [f"FALSE {f.code}" for f in row.false]
            healthy = "healthy" if row.label.healthy else "sick"
            must = ", ".join(sorted(row.must))
            print(f"| {row.name} | {healthy} | {row.settings} | {must} | {loud} | {quiet} | {', '.join(wrong)} |")
        must = sum(len(row.must) for row in rows)
        missed, false = sum(len(row.missed) for row in rows), sum(len(row.false) for row in rows)
        alarmed = [row.name for row in rows if row.label.healthy and row.false]
        print(f"\nOf {must} things that settings tell, {must - missed} are told; {false} false; alarmed: {alarmed}")


if __name__ == "__main__":
    main()
