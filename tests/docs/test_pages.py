"""The commands of docs/*.md are run as they stand there, and print what the page shows.

In a ```console block a line that begins with `$ ` is a command, which goes on in the next line after a backslash. The
lines below it are its whole output, stderr included, at 80 columns; `...` stands for anything: in a line for a part of
it, alone on a line for any number of lines. Without such lines anything may be printed. A command ends with 0, or as
the comment behind it says: `# exit 1`. One whose comment ends with `until q` runs in a terminal, and q is pressed once
it shows its keys. All commands of a page are run by one shell, in a folder with what `PAGES` in conftest.py has for the
page.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
PAGES = sorted((HOME / "docs").glob("*.md"))
BLOCK = re.compile(r"^```console\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
UNTIL_Q = re.compile(r"\s#.*\buntil q$")
EXIT = re.compile(r"\s#.*\bexit (\d+)\b")
SECONDS = 120
# Variables that would change what is printed, ask real servers, or write to the summary of the job that tests.
NOT_OURS = ("COLUMNS", "FORCE_COLOR", "GITHUB_", "WANDB_", "MLFLOW_", "TRACKIO_", "AUTOTUNE_")


@dataclass(frozen=True)
class Command:
    """A command of a page, the output that the page shows below it, and the exit status that it says."""

    text: str
    shown: str
    status: int


def commands(page: str) -> list[Command]:
    """What is run of a page."""
    return [command for block in BLOCK.findall(page) for command in _of_block(block)]


def _of_block(block: str) -> list[Command]:
    found = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        text, shown = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*)\n?(.*)", part, flags=re.DOTALL).groups()
        exits = EXIT.search(text)
        found.append(Command(text, shown, int(exits[1]) if exits else 0))
    return found


def run(texts: list[str], folder: Path, variables: Mapping[str, str]) -> list[tuple[str, int]]:
    """What each command printed, and its exit status."""
    script = "exec 2>&1\n" + "".join(f"{_in_a_terminal(text)}\nprintf '\\0%d\\0' $?\n" for text in texts)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)}
    environment |= {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    outputs = done.stdout.split("\0")
    assert len(outputs) == 2 * len(texts) + 1, done.stdout + done.stderr
    return [(printed, int(status)) for printed, status in zip(outputs[:-1:2], outputs[1::2], strict=True)]


def _in_a_terminal(text: str) -> str:
    """The command, run in a terminal where it needs one."""
    if not UNTIL_Q.search(text):
        return text
    return shlex.join([sys.executable, str(HOME / "tests/docs/until_q.py"), text])


def shows(shown: str, printed: str) -> bool:
    """Whether the output that a page shows is what was printed."""
    lines = [line.rstrip() for line in shown.strip("\n").splitlines()]
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else r".*?".join(map(re.escape, line.split("..."))) + r"[ ]*\n" for line in lines
    )
    return not lines or re.fullmatch(pattern, f"{printed.rstrip()}\n") is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_what_its_commands_print(page, set_ups, tmp_path):
    wanted, set_up = commands(page.read_text(encoding="utf-8")), set_ups.get(page.stem)
    excused = set_up is not None and set_up.no_command != ""
    assert bool(wanted) != excused, "a page has commands, or conftest.py says why it has none"
    with set_up.around(tmp_path) if set_up else nullcontext({}) as variables:
        done = run([command.text for command in wanted], tmp_path, variables)
    for command, (printed, status) in zip(wanted, done, strict=True):
        if status != command.status:
            pytest.fail(f"$ {command.text}\n{printed}\nended with {status}, not {command.status}", pytrace=False)
        if not shows(command.shown, printed):
            pytest.fail(f"$ {command.text}\n{printed}\nThe page shows:\n\n{command.shown}", pytrace=False)


def test_set_ups_are_of_pages_that_there_are(set_ups):
    assert set(set_ups) <= {page.stem for page in PAGES}


def test_what_is_shown_is_the_output_less_what_dots_stand_for():
    printed = "one\ntwo 12 s\nthree\n\n"
    assert shows("", printed)
    assert shows("one\ntwo 12 s\nthree\n", printed)
    assert shows("one\ntwo ... s\nthree\n", printed)
    assert shows("...\nthree\n", printed)
    assert shows("one\n...\nthree\n...\n", printed)
    assert not shows("one\nthree\n", printed)  # a cut is marked
    assert not shows("one\n", printed)
    assert not shows("three\n...\none\n", printed)
    assert not shows("one\ntwo ... h\nthree\n", printed)


def test_commands_end_as_the_page_says_and_share_a_shell(tmp_path):
    wanted = commands(
        "```console\n$ export A=1; false  # exit 1\n$ echo $A \\\n  b\n1 b\n```\nwords\n```console\nnot run\n```\n"
        "```console\n$ echo c >&2\n```\n"
    )
    assert [(command.shown, command.status) for command in wanted] == [("", 1), ("1 b\n", 0), ("", 0)]
    assert run([command.text for command in wanted], tmp_path, {}) == [("", 1), ("1 b\n", 0), ("c\n", 0)]


def test_commands_know_nothing_of_who_tests(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setenv("WANDB_API_KEY", "real")
    asked = ["echo [$GITHUB_STEP_SUMMARY][$WANDB_API_KEY][$MINE]"]
    assert run(asked, tmp_path, {"MINE": "1"}) == [("[][][1]\n", 0)]


def test_a_command_until_q_runs_in_a_terminal(tmp_path):
    asks = "stty -echo && test -t 0 && test -t 1 && echo Leave && read -rsn1 key && test $key = q"
    assert run([f"{asks}  # until q", f"{asks} && exit 3  # until q"], tmp_path, {}) == [("", 0), ("Leave\n", 3)]
    assert run(["echo gone; exit 1  # until q"], tmp_path, {}) == [("gone\n", 1)]
