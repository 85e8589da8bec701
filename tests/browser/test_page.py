"""The page of a report in a real browser: what it shows, what it asks for, and what it does not let happen.

Skipped where no Chromium is found; `CHROMIUM` says which one where it has another name.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import Page, browser, program

from diagnostics.details import details
from diagnostics.engine import diagnose
from diagnostics.events import EventLog, MetricsLogged, Outcome, RunEnded, RunStarted, SamplesLogged
from diagnostics.logs import read
from diagnostics.metrics import metrics
from diagnostics.report import html
from diagnostics.series import MetricSeries, RunHistory
from diagnostics.sources import Source, find

RUNS = Path(__file__).parents[1] / "data" / "runs"
HACK = "document.documentElement.setAttribute('hacked', '')"
# What breaks out of text, of an attribute, of a script element and of a comment.
EVIL = f"""</script><script>{HACK}</script><img src=x onerror="{HACK}">'"><svg onload={HACK}><!--&amp;\\u003c"""
SPIKE, SPIKES = 7654.0, [1_234, 12_345, 23_456, 34_567, 45_678, 56_789]
NAMES = ("grad_norm", *(name for name, m in metrics().items() if not m.family and name != "grad_norm"))[:30]
PHONE = (390, 844)

pytestmark = pytest.mark.skipif(program() is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    with browser(program() or "") as page:
        yield page


def written(file: Path, *sources: Source, policy: bool = True) -> Path:
    """The page of logs."""
    runs = [read(source) for source in sources]
    reports = [diagnose(each) for each in runs]
    beside = [
        details(each, source, [e.metric for f in report.findings for e in f.evidence])
        for each, source, report in zip(runs, sources, reports, strict=True)
    ]
    text = html.render(reports, beside, {EVIL: EVIL} if len(sources) > 1 else {})
    file.write_text(text if policy else text.replace("Content-Security-Policy", "X-None"), encoding="ascii")
    return file


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run whose KL exploded."""
    return written(tmp_path_factory.mktemp("sick") / "page.html", *find(RUNS / "collapse-0").sources)


def hostile(folder: Path) -> Source:
    """A sick run in which all that can be is markup."""
    log = EventLog(folder / "events.jsonl")
    log.emit(RunStarted(0, "trl-grpo", "1.16.0", {"learning_rate": 3e-3, "loss_type": EVIL}, notes=(EVIL,)))
    for step in range(60):
        metrics = {"kl.reference.k3.token": 0.01 if step < 20 else 30.0, f"reward_component_mean[{EVIL}]": 0.0}
        log.emit(
            MetricsLogged(step, {**metrics, "reward_mean": -0.1 * step, "policy_loss.token": 1.0}, {EVIL: 1.0 * step})
        )
    log.emit(RunEnded(59, Outcome.FAILED, EVIL))
    log.close()
    samples = EventLog(folder / "samples.jsonl")
    samples.emit(SamplesLogged(9, ({"prompt": EVIL, "completion": f"{EVIL}\nsecond line", "reward": 0.5},)))
    samples.close()
    return Source("events", (folder,), "", EVIL)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390, 360])
def test_the_page_fits_asks_for_nothing_and_is_without_a_fault(tab: Page, sick: Path, width: int, dark: bool) -> None:
    tab.open(sick, width, dark=dark)
    tab.settle()
    assert tab.requests() == [sick.as_uri()]
    assert tab.complaints() == []
    assert tab.run("document.documentElement.scrollWidth") <= width
    ground = tab.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 3 * 128) == dark


def test_the_first_screen_of_a_phone_says_what_is_wrong_since_when_and_what_to_do(tab: Page, sick: Path) -> None:
    tab.open(sick, *PHONE)
    seen = tab.run(
        "[...document.querySelectorAll('.verdict, .cause')].filter(e => e.getBoundingClientRect().bottom < innerHeight)"
        ".map(e => e.innerText)"
    )
    verdict, cause = (" ".join(text.split()) for text in seen)
    assert verdict.startswith("FATAL The learning rate is too high Since step 5; warning at step 14, error at step 20,")
    assert "Try: divide learning_rate by 8 (0.003 → 0.000375)" in verdict
    assert cause.startswith("CAUSE 1: The learning rate is too high") and "because smaller updates" in cause


def test_what_a_log_says_stays_text(tab: Page, tmp_path: Path) -> None:
    page = written(tmp_path / "page.html", hostile(tmp_path), *find(RUNS / "good-0").sources, policy=False)
    tab.open(page)  # without its policy, so that the escapes alone have to hold
    tab.run("document.querySelectorAll('details').forEach(part => part.open = true)")
    tab.run(SCROLL)
    assert not tab.run("document.documentElement.hasAttribute('hacked')")
    assert tab.requests() == [page.as_uri()] and tab.complaints() == []
    text = tab.run("document.body.innerText")
    assert text.count(EVIL) >= 9, (
        "its name twice, why another was not read, a metric, a name, a setting, a note, a sample"
    )
    assert f"{EVIL}\nsecond line" in text
    assert tab.run("document.querySelectorAll('img, main script, svg[onload]').length") == 0
    assert EVIL in tab.run("[...document.querySelectorAll('figure svg')].map(s => s.getAttribute('aria-label')).join()")


def test_a_script_that_slips_in_all_the_same_does_not_run(tab: Page, sick: Path, tmp_path: Path) -> None:
    text = sick.read_text(encoding="ascii")
    inserted = f'<main><script>{HACK}</script><img src="https://localhost/x.png" onerror="{HACK}">'
    for kept, hacked in ((True, False), (False, True)):
        page = tmp_path / "page.html"
        changed = text.replace("<main>", inserted)
        page.write_text(changed if kept else changed.replace("Content-Security-Policy", "X-None"), encoding="ascii")
        tab.open(page)
        tab.settle()
        assert tab.run("document.documentElement.hasAttribute('hacked')") == hacked
        assert any("Content Security Policy" in said for said in tab.complaints()) == kept


# To each figure, so that it is drawn.
SCROLL = """(async () => {
  for (const figure of document.querySelectorAll("figure")) {
    figure.scrollIntoView();
    while (!figure.matches(".drawn")) await new Promise(requestAnimationFrame);
  }
})()"""
SHOWN = "[...document.querySelectorAll('figure.drawn output')].map(output => output.value)"


def test_all_curves_of_a_run_are_zoomed_together_by_button_key_and_drag(tab: Page, sick: Path) -> None:
    tab.open(sick, height=3000)
    tab.settle()
    whole = tab.run(SHOWN)
    assert len(whole) == 3 and set(whole) == {"steps 0 to 100."}
    tab.run("document.querySelector('button[title=\"Zoom in\"]').click()")
    assert set(tab.run(SHOWN)) == {"steps 25 to 75."}
    tab.run("document.querySelector('figure svg').focus()")
    for key, shown in (("ArrowRight", "steps 38 to 88."), ("-", "steps 0 to 100."), ("+", "steps 25 to 75.")):
        tab.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        assert set(tab.run(SHOWN)) == {shown}, key
    tab.call("Input.dispatchKeyEvent", type="keyDown", key="0")
    assert set(tab.run(SHOWN)) == {"steps 0 to 100."}
    tab.run("document.querySelector('button[title=\"The steps of the finding\"]').click()")
    assert set(tab.run(SHOWN)) == {"steps 0 to 100."}, (
        "the finding goes on to the end, and the room before it to the start"
    )
    figure = "document.querySelector('figure svg').getBoundingClientRect()"
    left, top, width = (tab.run(f"{figure}.{side}") for side in ("left", "top", "width"))
    for kind, share in (("mousePressed", 0.5), ("mouseMoved", 0.6), ("mouseMoved", 0.75), ("mouseReleased", 0.75)):
        x, y = left + share * width, top + 60
        tab.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
    (shown,) = set(tab.run(SHOWN))
    first, last = (int(word) for word in shown.rstrip(".").split() if word.isdecimal())
    assert 44 <= first <= 50 and 70 <= last <= 78


def test_spikes_of_one_step_among_a_hundred_thousand_are_seen_and_what_is_not_finite_is_marked(
    tab: Page, tmp_path: Path
) -> None:
    steps, noise = np.arange(100_000), np.random.default_rng(0).uniform(0.4, 0.6, (len(NAMES), 100_000))
    noise[0, SPIKES], noise[0, 77_777] = SPIKE, math.nan
    series = {name: MetricSeries(name, steps, values) for name, values in zip(NAMES, noise, strict=True)}
    run = RunHistory(series, source="long")
    report = diagnose(run)
    beside = details(
        [run], Source("csv_file", (tmp_path,), "", "long"), [e.metric for e in report.findings[0].evidence]
    )
    page = tmp_path / "page.html"
    page.write_text(html.render([report], [beside]), encoding="ascii")
    assert page.stat().st_size < 1_500_000
    tab.open(page, height=3000)
    tab.settle()
    label = tab.run("document.querySelector('figure svg').getAttribute('aria-label')")
    assert label.startswith(f"{NAMES[0]}, steps 0 to 99999, between 0.4 and {SPIKE:.0f}. × marks what is not finite.")
    assert "Of 100000 points the lowest and highest of each stretch." in label
    assert tab.run("document.querySelectorAll('figure .lost').length") >= 1
    drawn = tab.run("document.querySelector('figure .curve').getAttribute('d')")
    assert len(drawn) < 100_000
    high = [point for point in drawn.replace("h0", "").replace("L", "M").split("M")[1:] if float(point.split()[1]) < 30]
    assert len(high) == len(SPIKES), "each at its height"


def test_other_curves_are_drawn_when_they_are_opened(tab: Page, sick: Path) -> None:
    tab.open(sick, height=3000)
    tab.settle()
    assert tab.run("document.querySelectorAll('.metrics svg').length") == 0
    tab.run("document.querySelector('.metrics').open = true")
    tab.run("document.querySelector('.metrics details').open = true")
    tab.settle()
    assert tab.run("document.querySelectorAll('.metrics svg').length") == 1
    assert len(tab.run("document.querySelector('.metrics .curve').getAttribute('d')")) > 100


def test_on_paper_what_was_folded_is_there_and_the_curves_are_drawn(tab: Page, sick: Path, tmp_path: Path) -> None:
    tab.open(sick, height=400)
    tab.run("dispatchEvent(new Event('beforeprint'))")
    assert tab.run("document.querySelectorAll('details.print:not([open])').length") == 0
    assert tab.run("document.querySelectorAll('article figure:not(.drawn)').length") == 0
    tab.run("dispatchEvent(new Event('afterprint'))")
    assert tab.run("document.querySelectorAll('details.print[open]').length") == 0
    tab.printed(tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().count(b"/Type /Page\n") in range(2, 7)


def test_everything_can_be_reached_by_keyboard(tab: Page, sick: Path) -> None:
    tab.open(sick, height=3000)
    tab.settle()
    reached = []
    for _ in range(60):
        tab.call("Input.dispatchKeyEvent", type="rawKeyDown", key="Tab", windowsVirtualKeyCode=9)
        reached.append(tab.run("document.activeElement.tagName.toLowerCase()"))
    kinds = set(reached)
    assert {"svg", "button", "summary"} <= kinds and reached.count("svg") >= 3


def test_of_several_runs_the_table_leads_to_each(tab: Page, tmp_path: Path) -> None:
    sources = find(RUNS / "good-0").sources + find(RUNS / "collapse-0").sources
    tab.open(written(tmp_path / "page.html", *sources))
    rows = tab.run("[...document.querySelectorAll('.overview tbody tr')].map(row => row.innerText)")
    assert [row.split()[0] for row in rows] == ["FATAL", "not", "INFO"] and "collapse-0" in rows[0]
    tab.run("document.querySelector('.overview a').click()")
    tab.settle()
    assert tab.run("document.querySelector('.run').getBoundingClientRect().top") < 100
    assert json.loads(tab.run("document.getElementById('data').textContent"))[0]["marks"][0]["code"] == "KL002"
