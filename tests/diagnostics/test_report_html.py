"""The page of a report as text; tests/browser shows it in a browser, where there is one."""

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html import unescape

import numpy as np
from sample_report import CAUSE, EVIL, FINDING, REPORT, controls

from diagnostics.details import Details, Sampled, Trace
from diagnostics.finding import Report, Skip
from diagnostics.report.html import MOST_RUNS, render

KL = "kl.reference.k3.token"
STEPS = np.arange(10, 40)
CURVES = (Trace(KL, "train/kl", True, 30, STEPS, STEPS / 10), Trace("odd", "odd", False, 1, STEPS[:1], STEPS[:1] / 1))
SAMPLES = (Sampled(20, (("What is 2 + 2?", "4\n<4>", 1.0), ("And 3?", "", None))),)
BESIDE = Details((CURVES,), {"learning_rate": 4e-5, "beta": 0.1}, {"learning_rate": "learning_rate", "kl_coef": "beta"})


def text(page: str) -> str:
    """What a reader sees, on one line."""
    body = page.partition("<main>")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_it_says_what_the_other_formats_say_and_what_the_settings_would_be():
    said = text(render([REPORT], [replace(BESIDE, samples=SAMPLES)]))
    for part in (
        "ERROR The learning rate is too high Since step 22; warning at step 23, error at step 25.",
        "Try: divide learning_rate by 8 (4e-05 → 5e-06)",
        "for the reward fell",
        "against num_iterations is 4",
        "KL002 kl_explosion at 22 → RWD003 reward_decline at 31",
        "what would settle it: log what temperature is set to",
        FINDING.message,
        "( train/kl in the log) median of the last 4 2.42 (limit 1), steps 22 to 25",
        "see CAUSE 1",
        "All curves: 2",
        "odd , not understood: 1 point, 10 at step 10",
        "Samples at step 20 Step 20 reward 1 What is 2 + 2? 4 <4> reward unknown And 3?",
        "Settings: 2 learning_rate 4e-05 beta 0.1",
        "Not checked: 2 rules need what this run did not log: VAL001, VAL003 value_loss",
        "avg return perhaps reward_mean or return_mean: --map 'avg return'=reward_mean",
        "Looks wrong and is not The policy loss is about zero",
        "the run has not ended",
    ):
        assert part in said, part
    assert said.index("CAUSE 1:") < said.index("KL002 kl_explosion steps") < said.index("RWD003 reward_decline steps")


def test_what_a_setting_would_be_is_not_said_where_it_changed_or_is_not_known():
    assert "→ 5e-06" not in text(render([REPORT], [replace(BESIDE, changes=((5, "learning_rate", 1e-4),))]))
    assert "(4e-05" not in text(render([REPORT], [replace(BESIDE, settings={"learning_rate": "4e-05"})]))
    changed = render([REPORT], [replace(BESIDE, changes=((5, "learning_rate", 1e-4),))])
    assert "learning_rate from step 5 on 0.0001" in text(changed)


def test_a_run_that_nothing_could_be_checked_in_shows_the_names_that_were_not_understood():
    skips = tuple(Skip(f"VAL{n:03}", "needs value_loss, which this run did not log") for n in range(20))
    blind = Report("odd.csv", "plain", -1, (), (), skips, ("avg_score",), (), rules=20)
    page = render([blind], [Details(((),), {}, {})])
    assert "Nothing could be checked" in text(page) and "Say what its names mean with --map NAME=METRIC." in text(page)
    assert "<details class=print open><summary>Not understood: 1 name" in page
    assert "<details class=print><summary>Not understood" in render([REPORT], [BESIDE])


def test_it_needs_nothing_else_and_lets_nothing_else_work():
    page = render([REPORT], [BESIDE])
    assert page.isascii() and "http:" not in page.replace("http://www.w3.org/2000/svg", "") and "https:" not in page
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for tag in ("style", "script"):
        (own,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, flags=re.DOTALL)
        assert f"{tag}-src 'sha256-{b64encode(sha256(own.encode()).digest()).decode()}'" in policy


def test_a_curve_stands_where_a_finding_rests_on_it_with_its_range():
    page = render([REPORT], [BESIDE])
    assert page.count('<figure data-run="0" data-segment="0" data-trace="0" data-first="22" data-last="39">') == 2
    (run,) = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert [mark["code"] for mark in run["marks"]] == ["KL002", "RWD003"]
    assert (run["marks"][0]["first"], run["marks"][0]["raised"], run["marks"][0]["last"]) == (22, 25, 39)
    assert run["segments"][0]["traces"][0]["values"][:2] == [1.0, 1.1]


def test_text_of_others_is_no_markup():
    evil = f"{EVIL}</script><script>x()</script><img src=x>\"' onload='x()"
    finding = replace(FINDING, message=evil, code=evil, evidence=(replace(FINDING.evidence[0], metric=evil),))
    trace = Trace(evil, evil, True, 30, STEPS, STEPS / 10)
    beside = Details(
        ((trace,),), {evil: evil}, {}, ((1, evil, 2.0),), (Sampled(1, ((evil, f"{evil}\n{evil}", 1.0),)),), evil
    )
    cause = replace(CAUSE, title=evil, speaks_for=(evil,), advice=evil)
    report = replace(REPORT, source=evil, findings=(finding,), causes=(cause,), notes=(evil,), unmapped=(evil,))
    page = render([report, REPORT], [beside, BESIDE], {evil: evil})
    plain = render([replace(report, source="x"), REPORT], [beside, BESIDE], {"y": "z"})
    assert page.count("<script") == 2 and "<img" not in page
    assert page.count("\n") == plain.count("\n") and not controls(page)
    assert text(page).count("<img src=x>") >= 14
    below = [replace(report, source=f"{evil.replace('/', '')}/{name}") for name in "ab"]
    for other in (render([report], [beside]), render(below, [beside] * 2)):  # its title, and the folder of all
        assert other.count("<script") == 2 and "<img" not in other and not controls(other)


def test_of_very_many_runs_the_sickest_have_sections_and_the_others_are_counted():
    clean = replace(REPORT, findings=(), raised=(), causes=(), source="runs/clean")
    page = render([clean, *[REPORT] * MOST_RUNS, clean], [BESIDE] * (MOST_RUNS + 2))
    assert page.count("<section class=run") == MOST_RUNS and page.count("<tr><td data-name=") == MOST_RUNS + 2
    assert "2 runs more, the least sick, would make this page too long" in page
    assert page.count('href="#run-') == MOST_RUNS
