"""Annotations of a GitHub job, read back as GitHub's runner reads them."""

import re
from collections import Counter
from dataclasses import replace

from sample_report import EVIL, FINDING, REPORT, controls

from diagnostics.finding import Report, Severity
from diagnostics.report.github import MOST, render

ORDER = {Severity.FATAL: "error", Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def read(output: str) -> list[tuple[str, str, str]]:
    """Kind, title and message of each line, unescaped as by actions/runner, ActionCommand.TryParseV2."""
    found = []
    for line in output.splitlines():
        kind, properties, data = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", line).groups()
        (title,) = (value for name, _, value in [p.partition("=") for p in properties.split(",")] if name == "title")
        found.append((kind, _unescaped(title, ":,"), _unescaped(data, "")))
    return found


def _unescaped(text: str, more: str) -> str:
    for char in f"\r\n{more}%":
        text = text.replace(f"%{ord(char):02X}", char)
    return text


def test_a_finding_says_where_since_when_and_what_to_do():
    kind, title, message = read(render([REPORT]))[0]
    assert (kind, title) == ("error", "ERROR KL002 kl_explosion since step 22")
    assert message.split("\n") == [
        f"runs/3: {FINDING.message}",
        "steps 22 to 39, warning at 23, raised at 25, medium confidence; kl.reference.k3.token 2.42 (limit 1)",
        "The learning rate is too high (medium confidence)",
        "Try: divide learning_rate by 8, because the pull to the reference was too weak",
        "Consider: start from a checkpoint before step 22",
    ]
    assert [kind for kind, _, _ in read(render([REPORT]))] == ["error", "warning", "notice"]


def test_each_severity_has_its_kind():
    for severity, kind in ORDER.items():
        report = replace(REPORT, findings=(replace(FINDING, severity=severity),), causes=())
        assert read(render([report]))[0][0] == kind


def test_no_more_than_github_shows_and_the_rest_is_counted():
    for n in (MOST - 1, MOST, MOST + 1, 3 * MOST):
        many = tuple(replace(FINDING, code=f"ZZ{i:03}") for i in range(n))
        said = read(render([replace(REPORT, findings=many, causes=())]))
        kinds = Counter(kind for kind, _, _ in said)
        assert max(kinds.values()) <= MOST
        shown = [title for kind, title, _ in said if kind == "error"]
        assert len(shown) == min(n, MOST)
        assert (f"and {n - MOST + 1} more" in shown) == (n > MOST)
    known = tuple(replace(FINDING, code=f"ZZ{i:03}", severity=Severity.INFO) for i in range(20))
    last = read(render([replace(REPORT, findings=known, causes=())]))[-2:]
    assert [title for _, title, _ in last] == ["autotune", "and 12 more"], "what is said of all runs stays"


def test_what_could_not_be_read_or_checked_does_not_pass_in_silence():
    blind = Report("runs/9", "unknown", -1, (), (), (), (), (), rules=20)
    summary = "1 run by its worst finding: 1 in which nothing could be checked. 1 could not be read."
    said = read(render([blind], {"runs/5.csv": "empty"}, ["there is no x. Check the spelling."]))
    assert said == [
        ("error", "not diagnosed", "there is no x. Check the spelling."),
        ("warning", "not read", "5.csv: empty"),
        ("warning", "nothing could be checked", "runs/9: Nothing could be checked: no rule found what it needs."),
        ("notice", "autotune", summary),
    ]
    assert read(render([], {}, ["there is no x."])) == [("error", "not diagnosed", "there is no x.")]


def test_a_healthy_run_is_said_to_be_one():
    assert read(render([replace(REPORT, findings=(), causes=())])) == [
        ("notice", "autotune", "1 run by its worst finding: 1 none.")
    ]


def test_a_log_cannot_give_commands():
    evil = f"{EVIL}\n::add-mask::a\r\n::error::b%0A%25,title=c::d"
    finding = replace(FINDING, code=evil, name=evil, message=evil)
    output = render([replace(REPORT, source=evil, findings=(finding,), causes=())], {evil: f"why {evil}"}, [evil])
    assert all(re.match(r"::(error|warning|notice) title=[^:,]*::", line) for line in output.splitlines())
    assert len(output.splitlines()) == 4 and not controls(output)
    assert all("%0A%25,title=c::d" in message for _, _, message in read(output)[:2]), "a per cent sign stays one"
    assert "%0A%25,title=c::d" in read(output)[1][1]
