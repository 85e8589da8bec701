"""The direction of imports, read from the source; and what stays unimported, seen in sys.modules."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent
MAY_IMPORT = {
    "diagnostics": set(),
    "studies": {"diagnostics"},
    "trainers": {"diagnostics", "studies.trial"},  # the spec of its own trial, and no more of studies
    "tui": {"diagnostics", "studies"},
    "autotune": {"diagnostics", "studies", "trainers", "tui"},
}
SOURCES = sorted(path for folder in MAY_IMPORT for path in (HOME / folder).rglob("*.py"))


def imported(source: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def forbidden(folder: str, source: str) -> set[str]:
    allowed = {folder, *MAY_IMPORT[folder]}
    ours = {name for name in imported(source) if name.partition(".")[0] in MAY_IMPORT}
    return {name for name in ours if not any(name == a or name.startswith(f"{a}.") for a in allowed)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(HOME)))
def test_a_folder_imports_only_what_lies_below_it(path: Path) -> None:
    assert not forbidden(path.relative_to(HOME).parts[0], path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("folder", "source"),
    [
        ("diagnostics", "def f():\n    import autotune.cli"),
        ("diagnostics", "from studies import spec"),
        ("studies", "from trainers.build import train"),
        ("trainers", "from studies.spec import StudySpec"),
        ("trainers", "import studies"),
        ("tui", "import trainers"),
    ],
)
def test_the_check_sees_a_wrong_import(folder: str, source: str) -> None:
    assert forbidden(folder, source)


def modules_after(code: str) -> set[str]:
    program = f"import sys, json\n{code}\nprint(json.dumps(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_imports_no_package_but_ours() -> None:
    code = "from autotune.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    assert not modules_after(code) & {"numpy", "rich", "torch", "optuna", "scipy", "trl", "transformers", "textual"}


def test_the_engine_and_its_rules_need_numpy_alone() -> None:
    code = "import diagnostics.engine\nfrom diagnostics.rule import *\nall_rules(), all_lints()"
    seen = modules_after(code)
    assert "numpy" in seen
    assert not seen & {"torch", "optuna", "trl", "transformers", "scipy", "rich", "pandas"}


@pytest.mark.parametrize("form", ["terminal", "json"])
def test_diagnose_needs_neither_torch_nor_optuna(form: str, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("")
    code = f"from autotune.cli import main\nmain(['diagnose', {str(tmp_path)!r}, '--format', {form!r}])"
    assert not modules_after(code) & {"torch", "optuna", "trl", "transformers", "scipy", "pandas"}


def test_the_monitor_starts_with_textual_and_rich_alone() -> None:
    seen = modules_after("import autotune.commands.monitor, tui.app")
    assert "textual" in seen
    assert not seen & {"numpy", "torch", "optuna", "trl", "transformers", "scipy", "pandas"}


def test_no_other_command_needs_textual(tmp_path: Path) -> None:
    code = "import importlib\nfrom autotune.cli import VERBS\nfor verb in VERBS.values():\n    verb.load()"
    assert "textual" not in modules_after(code)
