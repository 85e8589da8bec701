"""Reports on real runs of other people: they fit any terminal, and are kept whole. The runs are not ours to keep."""

import io
import json
import os
from html import unescape
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from diagnostics.cache import kept_to_json, report_from_json
from diagnostics.details import details
from diagnostics.engine import diagnose
from diagnostics.excerpt import MOST_GAPS, STRETCHES
from diagnostics.logs import read
from diagnostics.report import html, markdown, notebook, terminal
from diagnostics.report.json import render
from diagnostics.sources import find

CORPUS = Path(os.environ.get("AUTOTUNE_CORPUS", ""))
FILES = (
    [run["file"] for run in json.loads((CORPUS / "labels.json").read_bytes())]
    if "AUTOTUNE_CORPUS" in os.environ
    else []
)
pytestmark = pytest.mark.skipif(not FILES, reason="AUTOTUNE_CORPUS is not set: the folder with the shared real runs")


@pytest.mark.parametrize("file", FILES)
def test_a_real_run_is_shown(file: str) -> None:
    for source in find(CORPUS / file).sources:
        runs = read(source)
        report = diagnose(runs)
        for width in (40, 80, 200):
            console = Console(file=io.StringIO(), width=width, color_system=None)
            console.print(terminal.render(report, verbose=True))
            text = console.file.getvalue()
            assert all(cell_len(line) <= width for line in text.splitlines())
            assert not {c for c in text if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160}
            letters = "".join(text.split())
            assert all("".join(finding.message.split()) in letters for finding in report.findings)
        assert notebook.render(report).count("<pre") == 1
        page = html.render([report], [details(runs, source, [])])
        assert page.isascii() and len(page) < 1_500_000
        for said in (unescape(page), markdown.render([report]).replace("\\", "")):
            assert all(" ".join(finding.message.split()) in said for finding in report.findings)
        assert json.loads(render([report]))["runs"][0]["source"] == source.name
        kept = json.dumps(kept_to_json(report))
        assert json.dumps(kept_to_json(report_from_json(json.loads(kept)))) == kept
        assert len(kept) < 200_000
        assert all(len(e.steps) <= 3 * STRETCHES + 2 + 3 * MOST_GAPS for e in report.excerpts)
        assert {(e.code, e.segment) for e in report.excerpts} <= {(f.code, f.segment) for f in report.findings}
