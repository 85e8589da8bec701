"""Samplers, pruners and storages by name; what a person may type wrong, and what a database may do at night."""

import importlib.util
import json
import sqlite3
import sys
import warnings
from pathlib import Path

import optuna
import pytest

from autotune import search
from autotune.pruner import CannotCatchUp
from diagnostics.errors import UserError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else found(name))


def refused(call: object, *words: str) -> str:
    with pytest.raises(UserError) as caught:
        call()  # type: ignore[operator]
    line = str(caught.value)
    assert "\n" not in line and caught.value.hint, line
    for word in words:
        assert word in line, line
    return line


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tpe", optuna.samplers.TPESampler),
        ("random", optuna.samplers.RandomSampler),
        ("gp", optuna.samplers.GPSampler),
        ("cmaes", optuna.samplers.CmaEsSampler),
    ],
)
def test_a_named_sampler_is_optunas_own_and_the_same_seed_draws_the_same(name: str, kind: type) -> None:
    def drawn(seed: int) -> list[dict[str, float]]:
        study = optuna.create_study(sampler=search.sampler(name, seed))
        # One knob of each kind: cmaes would say at each trial that it draws the choices at random.
        study.optimize(
            lambda t: (
                t.suggest_float("a", 0, 1)
                + t.suggest_float("l", 1e-6, 1e-2, log=True)
                + t.suggest_int("i", 1, 4)
                + t.suggest_categorical("c", [2, 4])
            ),
            n_trials=3,
        )
        return [t.params for t in study.trials]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert type(search.sampler(name, 0)) is kind
        assert drawn(3) == drawn(3) != drawn(4)


def test_cmaes_does_not_say_at_every_trial_how_it_draws_choices(caplog: pytest.LogCaptureFixture) -> None:
    optuna.logging.enable_propagation()
    study = optuna.create_study(sampler=search.sampler("cmaes", 0))
    study.optimize(lambda t: t.suggest_float("a", 0, 1) + t.suggest_categorical("c", [2, 4]), n_trials=4)
    optuna.logging.disable_propagation()
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


def test_ours_is_the_sampler_of_the_findings() -> None:
    assert type(search.sampler("autotune", 0)).__name__ == "FindingsSampler"


def test_pruners_by_name() -> None:
    assert isinstance(search.pruner("autotune"), CannotCatchUp)
    assert type(search.pruner("median")) is optuna.pruners.MedianPruner
    assert type(search.pruner("none")) is optuna.pruners.NopPruner


def test_an_unknown_name_says_which_there_are_and_which_was_meant() -> None:
    refused(lambda: search.sampler("tpee", 0), "unknown sampler 'tpee'", "Did you mean tpe?", "cmaes", "module:Class")
    refused(lambda: search.pruner("medain"), "unknown pruner 'medain'", "Did you mean median?", "none")
    assert "mean" not in refused(lambda: search.sampler("zzzz", 0))
    for half in (":", "module:", ":Class", ""):
        refused(lambda half=half: search.sampler(half, 0), "unknown sampler")


@pytest.mark.parametrize(("name", "package"), [("gp", "scipy"), ("gp", "torch"), ("cmaes", "cmaes")])
def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, package)
    refused(lambda: search.sampler(name, 0), package, "pip install 'autotune-rl[")


@pytest.mark.filterwarnings("ignore:QMCSampler is experimental")  # Optuna's word to whoever names it
def test_a_class_of_ones_own_is_found_in_the_current_folder(here: Path) -> None:
    (here / "mine.py").write_text(
        "import optuna\n"
        "class Seeded(optuna.samplers.RandomSampler):\n"
        "    def __init__(self, seed):\n        super().__init__(seed); self.seed = seed\n"
        "class Plain(optuna.samplers.RandomSampler):\n    def __init__(self): super().__init__()\n"
        "class Patient(optuna.pruners.NopPruner): pass\n"
    )
    assert search.sampler("mine:Seeded", 7).seed == 7  # type: ignore[attr-defined]
    assert type(search.sampler("mine:Plain", 7)).__name__ == "Plain"
    assert type(search.pruner("mine:Patient")).__name__ == "Patient"
    assert type(search.sampler("optuna.samplers:QMCSampler", 1)) is optuna.samplers.QMCSampler


def test_a_folder_of_the_users_does_not_hide_ours(here: Path) -> None:
    (here / "diagnostics.py").write_text("raise SystemExit('the wrong one')")
    (here / "mine.py").write_text(
        "import optuna\nfrom diagnostics.errors import UserError\nS = optuna.samplers.TPESampler"
    )
    assert type(search.sampler("mine:S", 0)) is optuna.samplers.TPESampler
    assert sys.path[-1] == str(here) and str(here) not in sys.path[:-1]


def test_what_is_wrong_with_a_class_is_said(here: Path) -> None:
    (here / "mine.py").write_text(
        "import optuna\n"
        "number = 3\n"
        "class Sampler(optuna.samplers.BaseSampler): pass\n"
        "class Greedy(optuna.samplers.RandomSampler):\n    def __init__(self, data): pass\n"
    )
    (here / "broken.py").write_text("import nothing_of_that_name")
    refused(lambda: search.sampler("nowhere:Class", 0), "nowhere", "cannot be imported", str(here))
    refused(lambda: search.sampler("broken:Class", 0), "nothing_of_that_name")
    refused(lambda: search.sampler("mine:Greedi", 0), "has no class Greedi", "Did you mean Greedy?")
    refused(lambda: search.sampler("mine:number", 0), "has no class number")
    refused(lambda: search.sampler("mine:Sampler", 0), "is no sampler", "BaseSampler")
    refused(lambda: search.pruner("mine:Greedy"), "is no pruner", "BasePruner")
    refused(lambda: search.sampler("mine:Greedy", 0), "cannot be made", "data")


@pytest.mark.parametrize("url", ["sqlite:///{}/s.db", "journal:{}/s.log"])
def test_a_study_is_kept_in_its_storage(url: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(storage=search.storage(url.format(tmp_path)), study_name="s")
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=2)
    again = optuna.load_study(storage=search.storage(url.format(tmp_path)), study_name="s")
    assert [t.params for t in again.trials] == [t.params for t in study.trials]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("study.db", ["Did you mean sqlite:///study.db?"]),
        ("postgres://u@h/d", ["Did you mean postgresql?"]),
        ("redis://h", ["is no storage", "journal:FILE"]),
        ("sqlite://", ["forgotten"]),
        ("sqlite:///:memory:", ["forgotten"]),
        ("sqlite:////nowhere/at/all/s.db", ["cannot open", "unable to open database file", "folder that exists"]),
        ("journal:/nowhere/at/all/s.log", ["cannot open", "No such file", "folder that exists"]),
        ("mysql+nosuchdriver://u:secret@h/d", ["cannot open", "nosuchdriver"]),
        ("mysql://u:secret@h/d", ["needs the package MySQLdb", "pip install 'mysqlclient'"]),
        ("postgresql://u:secret@h:port/d", ["is no URL", "%40"]),
        ("postgresql://u:sec:ret@secret@h:1/d", ["***@h"]),
    ],
)
def test_a_url_that_is_none_or_cannot_be_opened(url: str, words: list[str]) -> None:
    assert "secret" not in refused(lambda: search.storage(url), *words)


@pytest.mark.parametrize("scheme", ["sqlite:///", "journal:"])
def test_a_file_that_is_no_storage(scheme: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("not a storage\n" * 100)
    refused(lambda: search.storage(f"{scheme}{tmp_path / 'f'}"), str(tmp_path / "f"), "storage of Optuna's")
    refused(lambda: search.storage(f"{scheme}{tmp_path}"), str(tmp_path))


def test_tables_of_another_version_of_optuna(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    search.storage(url)
    with sqlite3.connect(tmp_path / "s.db") as database:
        database.execute("update alembic_version set version_num = 'v99.0.0'")
    database.close()
    refused(lambda: search.storage(url), "cannot open", "version")


def fails(study: optuna.Study, where: str, *words: str) -> None:
    def ask() -> None:
        with search.plainly(where):
            study.ask()

    refused(ask, *words)


def test_a_database_that_is_deleted_while_the_study_runs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    study = optuna.create_study(storage=search.storage(url))
    study.ask()
    (tmp_path / "s.db").unlink()
    fails(study, url, f"the storage {url} failed", "readonly", "autotune study resume")


def test_a_journal_that_is_deleted_or_damaged_while_the_study_runs(tmp_path: Path) -> None:
    url, file = f"journal:{tmp_path / 's.log'}", tmp_path / "s.log"
    study = optuna.create_study(storage=search.storage(url))
    whole = file.read_text()
    file.unlink()
    fails(study, url, f"the storage {url} failed", "No such file")
    file.write_text(whole + "no json\n" + json.dumps({}) + "\n")
    fails(study, url, f"the storage {url} failed")


@pytest.mark.parametrize("url", ["sqlite:///{}/s.db", "journal:{}/s.log"])
def test_a_study_that_is_deleted_from_its_storage(url: str, tmp_path: Path) -> None:
    url = url.format(tmp_path)
    study = optuna.create_study(storage=search.storage(url), study_name="s")
    optuna.delete_study(study_name="s", storage=search.storage(url))
    fails(study, url, "no longer in the storage", "deleted")


def test_a_fault_of_ours_is_not_taken_for_the_storages() -> None:
    for error in (KeyError("knob"), ValueError("x"), UserError("mine", "do")):
        with pytest.raises(type(error)) as caught, search.plainly("sqlite:///s.db"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql://me:se@c:ret@host:1/d", "mysql://me:***@host:1/d"),
        ("postgresql://me@host/d", "postgresql://me@host/d"),
        ("postgresql://host/d?user=me&password=secret&x=1", "postgresql://host/d?user=me&password=***&x=1"),
        ("sqlite:////tmp/a@b.db", "sqlite:////tmp/a@b.db"),
        ("journal:/tmp/x", "journal:/tmp/x"),
    ],
)
def test_a_password_is_not_shown(url: str, shown: str) -> None:
    assert search.hide_password(url) == shown


def test_a_file_is_found_again_from_another_folder(here: Path) -> None:
    assert search.absolute("sqlite:///s.db") == f"sqlite:///{here}/s.db"
    assert search.absolute("journal:a/s.log") == f"journal:{here}/a/s.log"
    for url in ("sqlite:////x/s.db", "journal:/x/s.log", "mysql://h/d", ""):
        assert search.absolute(url) == url
