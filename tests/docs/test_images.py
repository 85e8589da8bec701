"""The pictures of the monitor are what it shows: docs/images/make.py is run, and its words compared with those kept."""

import importlib.util
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

HOME = Path(__file__).parents[2]
IMAGES = HOME / "docs/images"
ALIKE = 0.9  # of the words: a changed hint is no lie, another screen is
OF_THEMES = ("colour-blind-dark", "colour-blind-light")  # what `light` shows, in other colours
STILL, FILM = 150_000, 1_500_000  # bytes


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make", IMAGES / "make.py")
    module = sys.modules["make"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(svg: str) -> Counter[str]:
    """What can be read in a picture, and how often."""
    root = ElementTree.fromstring(svg)
    return Counter(
        word for element in root.iter("{http://www.w3.org/2000/svg}text") for word in (element.text or "").split()
    )


def alike(one: Counter[str], other: Counter[str]) -> float:
    """The share of words that two pictures have in common, from 0 to 1 (Sørensen–Dice)."""
    return 2 * (one & other).total() / (one.total() + other.total())


def names() -> list[str]:
    return sorted(path.stem for path in IMAGES.glob("*.svg"))


def test_a_theme_changes_no_word():
    light, *others = (words((IMAGES / f"{name}.svg").read_text(encoding="utf-8")) for name in ("light", *OF_THEMES))
    assert others == [light, light]


@pytest.mark.parametrize("name", [name for name in names() if name not in OF_THEMES])
def test_a_picture_is_what_the_monitor_shows(name: str, script: ModuleType):
    kept = (IMAGES / f"{name}.svg").read_text(encoding="utf-8")
    share = alike(words(kept), words(script.make(name)))
    assert share >= ALIKE, f"{name}.svg has {share:.0%} of the words that are shown now: make screenshots, and look"


def test_the_pictures_are_those_that_the_script_makes(script: ModuleType):
    assert {*script.PICTURES, script.FILM} == set(names())


@pytest.mark.parametrize("name", names())
def test_a_picture_is_small_and_fetches_nothing(name: str):
    text = (IMAGES / f"{name}.svg").read_text(encoding="utf-8")
    assert len(text.encode()) < (FILM if name == "recording" else STILL)
    assert re.findall(r"https?://[^\"']+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.findall(r"<script|@import|@font-face|url\(|href=\"[^#]", text)


def test_pages_show_all_pictures():
    pages = "".join((HOME / page).read_text(encoding="utf-8") for page in ("README.md", "docs/monitor.md"))
    assert {Path(link).stem for link in re.findall(r"[\w./-]*images/[\w.-]+\.svg", pages)} == set(names())


def test_another_screen_is_not_alike():
    study, system = (words((IMAGES / f"{name}.svg").read_text(encoding="utf-8")) for name in ("study", "system"))
    assert alike(study, study) == 1
    assert alike(study, system) < 0.6
