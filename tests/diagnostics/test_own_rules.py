"""Rules of somebody else: they are found, held to the contract, and their faults are said and spoil nothing."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from diagnostics.catalogue import catalogue, digest, notes
from diagnostics.engine import diagnose, rises
from diagnostics.errors import UserError
from diagnostics.own_rules import from_file
from diagnostics.project import Project, plain
from diagnostics.rule import Catalogue, Lint, shipped
from diagnostics.series import RunHistory, example
from diagnostics.watch import Watch

Rules = Callable[..., Path]

SICK = example({"reward_mean": "0.5~0.1*30 200*30"})


def with_file(path: Path) -> Catalogue:
    return catalogue(Project(files=(path,)))


def refused(path: Path) -> str:
    with pytest.raises(UserError) as error:
        with_file(path)
    return str(error.value)


def test_a_rule_in_a_file_is_one_of_all(tmp_path: Path, my_rules: Rules) -> None:
    rules = with_file(my_rules(tmp_path))
    assert {*rules} == {*shipped(), "ACME001", "ACME002"}
    assert all(rules[code] is judge for code, judge in shipped().items())
    report = diagnose(example({"reward_mean": "0.5~0.1*30 200*30"}, settings={"learning_rate": 0.9}), rules)
    assert {("ACME001", 30), ("ACME002", 0)} <= {(f.code, f.raised_at) for f in report.findings}
    of_runs = [judge for judge in shipped().values() if not (isinstance(judge, Lint) and judge.ahead)]
    assert report.rules == len(of_runs) + 2
    assert report.notes[-1] == f"rules from {tmp_path / 'my_rules.py'}: ACME001, ACME002"


def test_the_example_that_the_readme_shows_keeps_to_its_own_examples(tmp_path: Path, my_rules: Rules) -> None:
    rule, lint = from_file(my_rules(tmp_path))
    assert [[f"{f.severity.name.lower()}@{f.raised_at}" for f in rises(rule, case.run)] for case in rule.fires] == [
        [case.raises] for case in rule.fires
    ]
    assert not any(rises(rule, run) for run in rule.quiet)
    assert all(list(lint.check(s)) for s in lint.fires)
    assert not any(list(lint.check(s)) for s in lint.quiet)


def test_it_says_the_same_of_a_growing_run(tmp_path: Path, my_rules: Rules) -> None:
    rules = with_file(my_rules(tmp_path))
    watch = Watch(rules=rules)
    for step, value in zip(SICK["reward_mean"].steps.tolist(), SICK["reward_mean"].values.tolist(), strict=True):
        watch.add(step, {"reward_mean": value})
    watch.close()
    assert [(f.code, f.raised_at) for f in watch.raised if f.code == "ACME001"] == [("ACME001", 30)]
    assert watch.report().notes == diagnose(SICK, rules).notes


def test_the_file_is_read_as_it_is_now_and_leaves_nothing_behind(tmp_path: Path, my_rules: Rules) -> None:
    first = with_file(my_rules(tmp_path))
    second = with_file(my_rules(tmp_path, ("limit: float = 100.0", "limit: float = 300.0")))  # of the same size
    assert (first["ACME001"].defaults, second["ACME001"].defaults) == ({"limit": 100.0}, {"limit": 300.0})
    assert [path.name for path in tmp_path.iterdir()] == ["my_rules.py"]
    assert digest(first) != digest(second)
    assert digest(shipped()) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([("ACME001", "KL002")], "the code KL002 of KL002 reward_too_good is taken by KL002 kl_explosion of autotune"),
        ([("reward_too_good", "kl_explosion")], "the name kl_explosion of ACME001 kl_explosion is taken by KL002"),
        ([('"ACME001"', '"acme-1"')], "reward_too_good has the code 'acme-1': write capitals and three digits"),
        ([("## Look at", "Look at")], "reward_too_good lacks ## Look at in its docstring"),
        ([("## Look at", "## x"), ("## Meaning", "## Look at"), ("## x", "## Meaning")], "headings in another order"),
        ([("The reward is higher than our scorer can give.", "")], "reward_too_good lacks a first sentence in its"),
        ([('needs=["reward_mean"]', "needs=[]")], "reward_too_good needs nothing: name in needs="),
        ([('needs=["reward_mean"]', 'needs=["reward_maen"]')], "the metric reward_maen, which there is not: is rew"),
        ([("fires=[C", "uses=['nothing_like_it'], fires=[C")], "asks for the metric nothing_like_it, which there"),
        ([("fires=[C", "lookback=0, fires=[C")], "has lookback=0: it takes a whole number from 1 upwards"),
        ([("fires=[C", "warmup=2.5, fires=[C")], "has warmup=2.5: it takes a whole number from 0 upwards"),
        ([("limit: float = 100.0", "limit")], "has no default for limit: a threshold"),
        ([("limit: float = 100.0", "limit='a'")], "has the default 'a' for limit: a threshold"),
        ([('quiet=[example({"reward_mean": "0*5 50*3"})]', "quiet=[]")], "has no example under quiet="),
        ([("    Severity.ERROR,\n", "    'error',\n")], "has the severity 'error': write one of"),
        ([("from diagnostics.finding import", "import nowhere\nfrom diagnostics.finding import")], "No module named"),
        ([("needs=[", "need=[")], "my_rules.py cannot be loaded: line 8: TypeError: rule() got an unexpected keyword"),
        ([("yield Alarm(", "yield Alarm((")], "my_rules.py cannot be loaded: line 43: SyntaxError: '(' was"),
        ([('"""The rules of our house."""', "raise SystemExit(3)")], "cannot be loaded: line 1: SystemExit: 3. M"),
        ([("@rule(", "dict(")], "cannot be loaded: line 8: TypeError"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_rule_is_one_line(
    changes: list[tuple[str, str]], said: str, tmp_path: Path, my_rules: Rules
) -> None:
    line = refused(my_rules(tmp_path, *changes))
    assert said in line
    assert line.startswith(str(tmp_path / "my_rules.py"))
    assert "\n" not in line


def test_a_file_that_is_not_there_or_holds_no_rule(tmp_path: Path) -> None:
    assert "gone.py cannot be read: No such file or directory. Give the Python file" in refused(tmp_path / "gone.py")
    borrowed = tmp_path / "borrowed.py"
    borrowed.write_text("from diagnostics.rules.kl_explosion import kl_explosion\n")
    assert "holds no rule. Decorate a function with @rule" in refused(borrowed)


def test_two_files_with_one_code(tmp_path: Path, my_rules: Rules) -> None:
    one, other = my_rules(tmp_path), my_rules(tmp_path, name="others.py")
    with pytest.raises(UserError, match=r"others.py: the code ACME001 .* is taken by ACME001 .* of .*my_rules.py"):
        catalogue(Project(files=(one, other)))
    assert "ACME001" in catalogue(Project(files=(one, tmp_path / "." / "my_rules.py")))  # the same twice


# ---- faults while judging

FAULTS = [
    (("    yield Alarm(", "    1 / 0\n    yield Alarm("), "line 43: ZeroDivisionError: division by zero"),
    (('f"a reward of {value:g}"', 'f"{nothing}"'), "line 41: NameError: name 'nothing' is not defined"),
    (("reward.values > limit, told", "[1, 2], told"), "AttributeError: 'list' object has no attribute 'nonzero'"),
    (("yield Alarm(Severity.ERROR, reward.steps, reward.values > limit, told)", "return 3"), "TypeError"),
    (("value = int(reward.steps[i])", "value = reward.steps[i]"), "it tells what cannot be written"),
    (('("Look at the scorer.",)', '["Look at the scorer."]'), "it tells something of another type"),
]


@pytest.mark.parametrize(("change", "said"), FAULTS, ids=[said[:30] for _, said in FAULTS])
def test_a_rule_that_fails_is_skipped_with_the_reason_and_the_report_goes_on(
    change: tuple[str, str], said: str, tmp_path: Path, my_rules: Rules
) -> None:
    if "value = int(" in change[0]:
        change = ("step, value = int(reward.steps[i])", "step, value = reward.steps[i]")
    rules = with_file(my_rules(tmp_path, change))
    alone = diagnose(SICK)
    report = diagnose(SICK, rules)
    assert report.findings == alone.findings
    reasons = {skip.code: skip.reason for skip in report.skips}
    assert reasons.pop("ACME001").startswith(f"the rule of {tmp_path / 'my_rules.py'} failed: ")
    assert said in {skip.code: skip.reason for skip in report.skips}["ACME001"]
    assert reasons.pop("ACME002").startswith("needs the setting learning_rate")
    assert reasons == {skip.code: skip.reason for skip in alone.skips}


def test_a_rule_that_says_it_cannot_judge_has_no_fault(tmp_path: Path, my_rules: Rules) -> None:
    says = (
        "    from diagnostics.rule import NotApplicable\n    raise NotApplicable('the scorer is new')\n    yield Alarm("
    )
    report = diagnose(SICK, with_file(my_rules(tmp_path, ("    yield Alarm(", says))))
    assert {skip.code: skip.reason for skip in report.skips}["ACME001"] == "the scorer is new"


def test_a_rule_that_failed_once_while_the_run_grew_is_not_forgotten(tmp_path: Path, my_rules: Rules) -> None:
    early = ("    yield Alarm(", "    reward.values[3]\n    yield Alarm(")
    watch = Watch(rules=with_file(my_rules(tmp_path, early)))
    for step in range(10):
        watch.add(step, {"reward_mean": 200.0})
    watch.close()
    assert [(f.code, f.raised_at) for f in watch.raised] == [("ACME001", 3)]
    assert "IndexError" in watch.failed["ACME001"]
    assert "IndexError" in {skip.code: skip.reason for skip in watch.report().skips}["ACME001"]


def test_a_lint_that_fails_is_skipped_too(tmp_path: Path, my_rules: Rules) -> None:
    path = my_rules(tmp_path, ("rate > most", "rate > nothing"))
    report = diagnose(example({"reward_mean": "1*5"}, settings={"learning_rate": 0.9}), with_file(path))
    assert "NameError: name 'nothing' is not defined" in {s.code: s.reason for s in report.skips}["ACME002"]


def test_a_rule_of_ours_fails_loudly(tmp_path: Path, my_rules: Rules) -> None:
    theirs = from_file(my_rules(tmp_path, FAULTS[0][0]))[0]
    with pytest.raises(ZeroDivisionError):
        diagnose(SICK, {"ACME001": replace(theirs, origin=None)})


# ---- installed packages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, my_rules: Rules) -> Iterator[Path]:
    """A package `acme` with a rule, installed as pip leaves it."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "__init__.py").write_text("")
    my_rules(tmp_path / "acme", name="rules.py")
    info = tmp_path / "acme_rules-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-rules\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[autotune.rules]\nacme = acme\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "acme"
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        del sys.modules[name]


def test_the_rules_of_an_installed_package(package: Path) -> None:
    rules = catalogue(Project())
    assert [f.code for f in diagnose(SICK, rules).findings if f.code.startswith("ACME")] == ["ACME001"]
    assert notes(rules) == ("rules from the package acme-rules: ACME001, ACME002",)
    before = digest(rules)
    (package / "helper.py").write_text("x = 1\n")
    assert digest(catalogue(Project())) != before


def test_with_an_installed_package_not_all_is_as_it_comes(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(package)
    assert not plain()


@pytest.mark.parametrize(("text", "why"), [("import nowhere", "Module"), ("raise SystemExit(0)", "SystemExit")])
def test_an_installed_package_that_is_broken_is_one_line(text: str, why: str, package: Path) -> None:
    (package / "rules.py").write_text(text)
    said = f"the package acme-rules has rules in acme, which cannot be loaded: {why}"
    with pytest.raises(UserError, match=said):
        catalogue(Project())


def test_a_run_without_its_metrics_is_a_skip(tmp_path: Path, my_rules: Rules) -> None:
    reasons = {s.code: s.reason for s in diagnose(RunHistory({}), with_file(my_rules(tmp_path))).skips}
    assert reasons["ACME001"] == "needs reward_mean, which this run did not log"
