"""Findings' curves as pictures: what is drawn, and where files go whatever a log calls things."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from sample_report import EVIL, FINDING, REPORT

from diagnostics.details import Details, Trace
from diagnostics.report import plots
from diagnostics.report.plots import LONGEST, safe, save

pytest.importorskip("matplotlib", reason="the extra `plots` is not installed")


def beside(metric: str, values: list[float] | None = None) -> Details:
    of = np.array(values or [0.5, 1.0, 3.0])
    trace = Trace(metric, metric, True, len(of), 20 + np.arange(len(of)), of)
    return Details(((trace,),), {}, {})


def test_each_finding_has_its_curve_with_the_range_as_png_and_svg(tmp_path: Path):
    report = replace(REPORT, findings=REPORT.findings[:1])
    written = save([report], [beside("kl.reference.k3.token")], tmp_path / "new" / "plots")
    assert [path.name for path in written] == ["KL002-kl.reference.k3.token.png", "KL002-kl.reference.k3.token.svg"]
    assert written[0].read_bytes().startswith(b"\x89PNG")
    said = "".join(ElementTree.parse(written[1]).getroot().itertext())
    for part in ("KL002 kl_explosion: runs/3", "ERROR at 25", "kl.reference.k3.token", "step"):
        assert part in said
    again = save([report], [beside("kl.reference.k3.token")], tmp_path)
    assert again[1].read_bytes() == written[1].read_bytes(), "the same run, the same file"


def test_what_is_not_finite_is_marked(tmp_path: Path):
    written = save([REPORT], [beside("kl.reference.k3.token", [1.0, float("nan"), float("inf")])], tmp_path)
    assert "not finite" in written[1].read_text()


def test_a_finding_without_a_curve_is_left_out(tmp_path: Path):
    assert save([REPORT], [beside("entropy.token")], tmp_path) == []


@pytest.mark.parametrize("evil", ["../../etc/x", "/etc/x", "a\\b", "..", "", "con\x00", "$\\frac{$", EVIL, "界" * 300])
def test_names_lead_nowhere_and_are_no_formulas(evil: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plots, "KINDS", ("svg",))  # which takes a tenth of the time of PNG
    metric = f"reward_component_mean[{evil}]"
    finding = replace(FINDING, evidence=(replace(FINDING.evidence[0], metric=metric),))
    reports = [replace(REPORT, source=source, findings=(finding,)) for source in (evil, evil.upper())]
    folder = tmp_path / "plots"
    written = save(reports, [beside(metric)] * 2, folder)
    assert sorted(folder.iterdir()) == sorted(written) and len(set(written)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["plots"]
    assert all(len(path.name) < 255 and not path.name.startswith(".") for path in written)
    assert len({path.name.lower() for path in written}) == 2
    assert all(map(ElementTree.parse, written))


def test_safe_names():
    assert safe("kl.reference.k3.token") == "kl.reference.k3.token"
    assert safe("../a b/c") == "a-b-c" and safe("..") == "unnamed" and len(safe("x" * 999)) == LONGEST


def test_nothing_else_needs_matplotlib():
    code = "import sys, diagnostics.report.plots, autotune.reporting; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
