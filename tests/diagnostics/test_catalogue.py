"""What a project says of rules: found, checked, in force wherever a run is judged, and said in the report."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.catalogue import catalogue, digest, here, notes
from diagnostics.engine import diagnose, rises
from diagnostics.errors import UserError
from diagnostics.finding import Severity
from diagnostics.project import MOST_BYTES, Project, check_files, find, plain
from diagnostics.readers import events
from diagnostics.rule import NotApplicable, Rule, Tuning, shipped
from diagnostics.series import RunHistory, example
from diagnostics.watch import Watch

RUNS = Path(__file__).parent.parent / "data" / "runs"
RULES = [judge for judge in shipped().values() if isinstance(judge, Rule)]
FAR = example({"kl.reference.k3.token": "0+0.01*300"})  # KL002 warns at 208, above its token_diverged


def tuned(**tables: dict[str, object]):
    return catalogue(Project(Path("autotune.toml"), tables))


def raised(rules, run: RunHistory) -> list[tuple[str, int, Severity]]:
    return [(f.code, f.raised_at, f.severity) for f in diagnose(run, rules).raised]


# ---- thresholds


def test_a_threshold_is_in_force_and_said() -> None:
    rules = tuned(KL002={"token_diverged": 1, "sequence_limit": 20.0})
    assert raised(shipped(), FAR) == [("KL002", 208, Severity.WARNING)]
    assert raised(rules, FAR) == [("KL002", 108, Severity.WARNING)]
    assert diagnose(FAR, rules).notes == (
        "KL002 is changed by autotune.toml: token_diverged = 1 instead of 2, sequence_limit = 20 instead of 10",
    )
    assert rules["KL002"].thresholds["token_diverged"] == 1.0
    assert rules["KL002"].defaults["token_diverged"] == 2.0
    assert {code for code, judge in rules.items() if judge is not shipped()[code]} == {"KL002"}


def test_a_lint_has_thresholds_too() -> None:
    lint = shipped()["CFG003"]
    settings = lint.fires[0]
    name, default = next(iter(lint.defaults.items()))
    assert "CFG003" in {f.code for f in diagnose(RunHistory({}, settings)).findings}
    off = tuned(CFG003={name: 0.999})
    assert default != 0.999
    assert "CFG003" not in {f.code for f in diagnose(RunHistory({}, settings), off).findings}


def test_the_digest_tells_configurations_apart() -> None:
    several = [
        shipped(),
        tuned(KL002={"gain": 2.0}),
        tuned(KL002={"gain": 3.0}),
        tuned(KL002={"severity": "error"}),
        tuned(KL002={"ignore": True}),
    ]
    assert len({digest(rules) for rules in several}) == len(several)
    assert digest(tuned(KL002={"gain": 2.0})) == digest(several[1])


# ---- severities


@pytest.mark.parametrize(
    ("asked", "counted"),
    [
        ("info", "IIII"),
        ("warning", "IWWW"),
        ("error", "IWEE"),
        ("fatal", "IWEF"),
    ],
)
def test_a_severity_takes_the_place_of_the_highest(asked: str, counted: str) -> None:
    judge = replace(shipped()["KL002"], tuning=Tuning("", severity=Severity.parse(asked)))
    assert "".join(judge.counted(severity).name[0] for severity in Severity) == counted


def test_a_severity_can_be_raised_and_leaves_the_lower_ones() -> None:
    judge = replace(shipped()["RWD001"], severity=Severity.ERROR, tuning=Tuning("", severity=Severity.FATAL))
    assert [judge.counted(severity).name[0] for severity in (Severity.WARNING, Severity.ERROR)] == ["W", "F"]


def test_a_capped_rule_rises_no_further() -> None:
    run = next(case.run for case in shipped()["KL002"].fires if "fatal" in case.raises and "error" in case.raises)
    full = [f for f in diagnose(run).raised if f.code == "KL002"]
    capped = [f for f in diagnose(run, tuned(KL002={"severity": "warning"})).raised if f.code == "KL002"]
    assert [f.severity for f in full][-1] is Severity.FATAL
    assert [(f.severity, f.raised_at) for f in capped] == [(Severity.WARNING, full[0].raised_at)]


# ---- left out


def test_an_ignored_rule_is_a_skip() -> None:
    report = diagnose(FAR, tuned(KL002={"ignore": True}))
    assert not report.findings
    assert {s.code: s.reason for s in report.skips}["KL002"] == "left out by autotune.toml"
    assert report.rules == sum(not getattr(judge, "ahead", False) for judge in shipped().values())
    watch = Watch(rules=tuned(KL002={"ignore": True}))
    assert [s for s in watch.report().skips if s.code == "KL002"]


# ---- live equals finished


def followed(run: RunHistory, rules) -> Watch:
    watch = Watch(settings=run.settings, reward_bounds=run.reward_bounds, rules=rules)
    rows: dict[int, dict[str, float]] = {}
    for series in run.series.values():
        for step, value in zip(series.steps.tolist(), series.values.tolist(), strict=True):
            rows.setdefault(step, {})[series.metric] = value
    for step in sorted(rows):
        watch.add(step, rows[step])
    watch.close()
    return watch


COUNTS = [(r, n) for r in RULES for n, default in r.defaults.items() if isinstance(default, int)]


@pytest.mark.parametrize(("rule", "name"), COUNTS, ids=lambda x: getattr(x, "code", x))
def test_more_points_than_the_rule_reached_back_to_are_seen_live_too(rule: Rule, name: str) -> None:
    changed = tuned(**{rule.code: {name: 3 * rule.defaults[name]}})[rule.code]
    assert changed.lookback >= rule.lookback
    for case in rule.fires:
        try:
            finished = [(f.raised_at, f.severity) for f in rises(changed, case.run)]
        except NotApplicable:
            continue
        assert [(f.raised_at, f.severity) for f in followed(case.run, {rule.code: changed}).raised] == finished


def test_a_longer_patience_is_waited_for_live() -> None:
    """The one that a live view of the rule's own length would never see."""
    rule = tuned(KL002={"patience": 90})["KL002"]
    run = example({"kl.reference.k3.token": "0.02*30 0.9*200", "reward_mean": "0.2 0.4 " * 115})
    finished = [(f.raised_at, f.severity) for f in rises(rule, run)]
    assert finished == [(f.raised_at, f.severity) for f in followed(run, {"KL002": rule}).raised]
    assert finished[0][0] > 30 + 90


@pytest.mark.parametrize("name", ["collapse-0", "collapse-1", "pairs", "unstable"])
def test_following_under_a_configuration_is_reading_the_finished_run(name: str) -> None:
    rules = tuned(
        KL002={"severity": "error", "token_limit": 0.2, "patience": 60},
        RWD001={"severity": "warning"},
        ENT001={"ignore": True},
    )
    rules = {code: rules[code] for code in ("KL002", "RWD001", "ENT001")}
    run = events.read(RUNS / name)
    assert raised(rules, run)
    assert {(f.code, f.raised_at, f.severity) for f in followed(run, rules).raised} == set(raised(rules, run))


def test_no_rule_breaks_at_the_ends_of_what_a_threshold_takes() -> None:
    for rule in RULES:
        for name, default in rule.defaults.items():
            for value in (1, 1_000_000) if isinstance(default, int) else (default * 1e-6, default * 1e6):
                for run in (*(case.run for case in rule.fires), *rule.quiet):
                    try:
                        rises(rule, run, **{name: value})
                    except NotApplicable:
                        continue


# ---- the file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


TABLE = "[{}rules.KL002]\ntoken_limit = 0.7\n"


@pytest.mark.parametrize(("name", "prefix"), [("autotune.toml", ""), ("pyproject.toml", "tool.autotune.")])
def test_the_file_of_the_folder_or_of_its_nearest_parent(
    name: str, prefix: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plain()
    (folder / name).write_text(TABLE.format(prefix))
    assert not plain()
    assert here()["KL002"].thresholds["token_limit"] == 0.7
    assert notes(here()) == (f"KL002 is changed by {name}: token_limit = 0.7 instead of 0.5",)
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "pyproject.toml").write_text("[tool.ruff]\nname = 'not autotune'\n")
    monkeypatch.chdir(folder / "a" / "b")
    assert here()["KL002"].thresholds["token_limit"] == 0.7
    (folder / "a" / "autotune.toml").write_text(TABLE.format("").replace("0.7", "0.9"))
    assert here()["KL002"].thresholds["token_limit"] == 0.9
    (folder / "a" / "pyproject.toml").write_text(TABLE.format("tool.autotune."))
    assert here()["KL002"].thresholds["token_limit"] == 0.9  # of two in one folder, ours


def test_a_pyproject_of_others_need_not_be_toml(folder: Path) -> None:
    (folder / "pyproject.toml").write_text("[tool")
    assert find(folder).file is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[rules.KL02]\n", "[rules.KL02]: there is no rule KL02. There are KL002, "),
        ("[rules.QQQ9]\n", "[rules.QQQ9]: there is no rule QQQ9. See autotune rules for all of them."),
        ("[rules.KL002]\ntoken_limt = 1\n", "[rules.KL002]: KL002 kl_explosion has no threshold 'token_limt'. There"),
        ("[rules.KL002]\ntoken_limit = '1'\n", "token_limit is '1'. It takes a finite number, such as the default 0.5"),
        ("[rules.KL002]\ntoken_limit = true\n", "token_limit is True. It takes a finite number"),
        ("[rules.KL002]\ntoken_limit = inf\n", "token_limit is inf. It takes a finite number"),
        ("[rules.KL002]\ntoken_limit = -1\n", "token_limit is -1. It takes a number above 0, such as the default 0.5."),
        ("[rules.KL002]\npatience = 2.5\n", "patience is 2.5. It takes a whole number up to 1,000,000"),
        ("[rules.KL002]\npatience = 0\n", "patience is 0. It takes a number above 0"),
        ("[rules.KL002]\npatience = 9999999\n", "patience is 9999999. It takes a whole number up to 1,000,000"),
        ("[rules.KL002]\nseverity = 'bad'\n", "unknown severity 'bad'; choose one of info, warning, error, fatal"),
        ("[rules.KL002]\nignore = 1\n", "ignore is 1. It is true or false."),
        ("[rules]\nKL002 = 1\n", "rules has something else than tables. Write [rules.KL002]"),
        ("rules = ['a.py']\n", "rules has something else than tables"),
        ("rule_files = 'a.py'\n", 'rule_files is no list of files. Write rule_files = ["my_rules.py"]'),
        ("rule_file = ['a.py']\n", "there is no key 'rule_file'. There are rules and rule_files."),
        ("rule_files = ['a.py']\n", "rule_files: there is no file "),
        ("rule_files = ['../a.py']\n", "/../a.py is not below "),
        ("rule_files = ['/etc/passwd']\n", "rule_files: /etc/passwd is not below "),
        ("[rules", "is no TOML: "),
    ],
)  # fmt: skip
def test_what_is_wrong_in_it_is_one_line_that_names_file_and_key(text: str, said: str, folder: Path) -> None:
    (folder / "autotune.toml").write_text(text)
    with pytest.raises(UserError) as error:
        here()
    line = str(error.value)
    assert said in line
    assert "autotune.toml" in line
    assert "\n" not in line


# ---- rules of the project


def test_the_rules_of_the_project(folder: Path, my_rules: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "house").mkdir()
    my_rules(folder / "house")
    (folder / "autotune.toml").write_text("rule_files = ['house/my_rules.py']\n[rules.ACME001]\nlimit = 2\n")
    (folder / "elsewhere").mkdir()
    (folder / "logs").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    rules = here(diagnosed=[folder / "logs", folder / "elsewhere" / "a.csv"])
    assert rules["ACME001"].thresholds == {"limit": 2.0}
    assert here([folder / "house" / "my_rules.py"])["ACME001"].thresholds == {"limit": 2.0}  # named twice


@pytest.mark.parametrize("place", [".", "..", "train.log", "link"])
def test_rules_that_lie_with_the_logs_are_not_run(place: str, folder: Path, my_rules: Callable[..., Path]) -> None:
    my_rules(folder, ('"""The rules of our house."""', "raise AssertionError('it was run')"))
    (folder / "autotune.toml").write_text("rule_files = ['my_rules.py']\n")
    (folder / "link").symlink_to(folder)
    with pytest.raises(UserError, match=r"is diagnosed, and code that comes with logs is not run\. .*--rules .*my_rul"):
        here(diagnosed=[Path(place)])


def test_a_link_does_not_lead_out_of_the_project(folder: Path, my_rules: Callable[..., Path]) -> None:
    (folder / "project").mkdir()
    my_rules(folder)
    (folder / "project" / "my_rules.py").symlink_to(folder / "my_rules.py")
    (folder / "project" / "autotune.toml").write_text("rule_files = ['my_rules.py']\n")
    os.chdir(folder / "project")
    with pytest.raises(UserError, match=r"my_rules\.py is not below"):
        here()


@pytest.mark.parametrize("name", ["my_rules.py", "autotune.toml"])
def test_code_of_another_user_is_not_run(
    name: str, folder: Path, my_rules: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    my_rules(folder)
    (folder / "autotune.toml").write_text("rule_files = ['my_rules.py']\n")
    mine = os.geteuid()
    os.chown(folder / name, 4711, -1) if mine == 0 else monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(UserError, match="belongs to another user, so no rule of it is run"):
        here()
    assert "ACME001" in here([folder / "my_rules.py"])  # a person's own word


def test_code_of_the_administrator_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    his = Path("/etc/passwd")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    check_files(Project(his, files=(his,)))


def test_a_file_that_a_person_names_is_asked_for_however_the_project_writes_it(
    folder: Path, my_rules: Callable[..., Path]
) -> None:
    (folder / "house").mkdir()
    mine = my_rules(folder)
    (folder / "autotune.toml").write_text("rule_files = ['house/../my_rules.py']\n")
    assert "ACME001" in here([mine], diagnosed=[folder])


def test_a_file_larger_than_a_megabyte_is_not_read(folder: Path) -> None:
    (folder / "autotune.toml").write_text("#" * MOST_BYTES)
    assert find(folder).file is not None
    (folder / "autotune.toml").write_text("#" * (MOST_BYTES + 1))
    with pytest.raises(UserError, match="is larger than a megabyte"):
        find(folder)
