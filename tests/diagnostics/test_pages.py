"""docs/rules comes from the docstrings and is up to date."""

from pathlib import Path

import pytest

from diagnostics.pages import FAMILIES, INDEX, page, write
from diagnostics.rule import Lint, Rule, shipped

PAGES = Path(__file__).parent.parent.parent / "docs" / "rules"


def test_the_pages_in_docs_are_those_of_the_rules(tmp_path: Path) -> None:
    write(tmp_path)
    new = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    old = {path.name: path.read_text(encoding="utf-8") for path in PAGES.iterdir()}
    differing = sorted(name for name in new.keys() | old.keys() if new.get(name) != old.get(name))
    assert differing == [], "run: python -m diagnostics.pages docs/rules"


def test_a_page_of_a_rule_that_is_no_more_is_removed(tmp_path: Path) -> None:
    (tmp_path / "OLD001.md").write_text("old")
    write(tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {*shipped(), Path(INDEX).stem}


@pytest.mark.parametrize("judge", shipped().values(), ids=lambda judge: judge.code)
def test_a_page_has_all_that_is_to_be_known(judge: Rule | Lint) -> None:
    text = page(judge)
    assert text.startswith(f"# {judge.code} {judge.name}\n")
    assert f"Highest severity: {judge.severity.name.lower()}" in text
    assert all(f"  - `{name}` = {value!r}" in text for name, value in judge.thresholds.items())
    assert all((need if isinstance(need, str) else need[0]) in text for need in judge.needs)
    assert "## Meaning\n" in text


def test_every_family_has_a_title() -> None:
    assert {code.rstrip("0123456789") for code in shipped()} <= FAMILIES.keys()
