"""What lies in the folder of a page of docs/ when its commands are run, and what runs beside them: see `PAGES`."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from studies.spec import load, write_trial

DATA = Path(__file__).parents[1] / "data"
sys.path.append(str(Path(__file__).parent))  # servers that run beside pages are in files of their own

Lay = Callable[[Path], None]  # puts something at a path


def copy(source: str) -> Lay:
    """A file or a folder of tests/data; what is compressed there lies unpacked in the folder of the page."""

    def lay(target: Path) -> None:
        recorded = DATA / source
        if recorded.is_dir():
            shutil.copytree(recorded, target)
        elif recorded.suffix == ".gz":
            target.write_bytes(gzip.decompress(recorded.read_bytes()))
        else:
            shutil.copyfile(recorded, target)

    return lay


# Columns that only the trainer of tests/data/pathologies logs.
OF_OUR_LAB = {"t", "reward_best_of_n", "reward_worst_of_n", "best_of_n_gap", "completions/unique_frac"}


def trainer_state(pathology: str) -> Lay:
    """A recorded GRPO run of tests/data/pathologies, such as `05_klexp_grpo_bad/0`, as TRL would have left it."""

    def lay(target: Path) -> None:
        lines = gzip.decompress((DATA / "pathologies" / f"{pathology}.jsonl.gz").read_bytes()).splitlines()
        history = [{k: v for k, v in json.loads(line).items() if k not in OF_OUR_LAB} for line in lines]
        state = {"global_step": history[-1]["step"], "max_steps": history[-1]["step"], "log_history": history}
        target.write_text(json.dumps(state), encoding="utf-8")

    return lay


def run_of_ours(name: str) -> Lay:
    """A recorded run of the preset arithmetic-grpo, at the settings where that starts, with its config.json."""

    def lay(target: Path) -> None:
        preset = load("arithmetic-grpo")
        copy(f"runs/{name}")(target)
        write_trial(preset.trial_with(preset.start, 0), target)

    return lay


def study(target: Path) -> None:
    """The recorded study, as the only one in a folder of studies."""
    with tarfile.open(DATA / "study.tar.xz") as archive:
        archive.extractall(target, filter="data")


def script(target: Path) -> None:
    """The script of examples/command."""
    shutil.copyfile(DATA.parents[1] / "examples" / "command" / "train.py", target)


@dataclass(frozen=True)
class SetUp:
    """What a page needs: `files` (path in its folder: what is laid there), and a server or variables `beside` it.

    `beside` is a context manager of the folder, which gives the environment variables that the commands are run with.
    `no_command` says why a page has none.
    """

    files: Mapping[str, Lay] = field(default_factory=dict)
    beside: Callable[[Path], AbstractContextManager[Mapping[str, str]]] = lambda folder: nullcontext({})
    no_command: str = ""

    @contextmanager
    def around(self, folder: Path) -> Iterator[Mapping[str, str]]:
        """The files are laid, and what runs beside the commands runs."""
        for name, lay in self.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            lay(target)
        with self.beside(folder) as variables:
            yield variables


@contextmanager
def trackio_mlflow_hub(folder: Path) -> Iterator[Mapping[str, str]]:
    """A project of trackio, a server of MLflow with a database of it, and the hub."""
    from trackio_mlflow_hub import servers

    with servers(folder) as variables:
        yield variables


@contextmanager
def actions(folder: Path) -> Iterator[Mapping[str, str]]:
    """A study that runs, and two proposals of which wait."""
    from actions_beside import study

    with study(folder) as variables:
        yield variables


@contextmanager
def wandb(folder: Path) -> Iterator[Mapping[str, str]]:
    """A server of wandb."""
    from wandb_beside import server

    with server(folder) as variables:
        yield variables


BEFORE_AND_AFTER = {
    "runs/before/trainer_state.json": trainer_state("05_klexp_grpo_bad/0"),
    "runs/after/trainer_state.json": trainer_state("05_klexp_grpo_fix/0"),
}

# By the name of the page, less `.md`. A page without a line here is run in an empty folder.
PAGES: Mapping[str, SetUp] = {
    "actions": SetUp(beside=actions),
    "ci": SetUp(BEFORE_AND_AFTER),
    "compare": SetUp(
        {
            "before": copy("runs/collapse-0"),
            "after": copy("runs/good-0"),
            "good-0": copy("runs/good-0"),
            "good-1": copy("runs/good-1"),
            "fast-0": copy("runs/good-fast"),
        }
    ),
    "from-run": SetUp(
        {
            "sick": run_of_ours("collapse-0"),
            "trainer_state.json": trainer_state("05_klexp_grpo_bad/0"),
            "train.py": script,
        }
    ),
    "reports": SetUp(BEFORE_AND_AFTER),
    "lint": SetUp({name: copy(f"configs/{name}") for name in ("grpo.yaml", "verl.sh")}),
    "monitor": SetUp(
        {
            "autotune-runs": study,
            "trainer_state.json": trainer_state("05_klexp_grpo_bad/0"),
            "wandb": copy("wandb"),
        }
    ),
    "trackio-mlflow-hub": SetUp(beside=trackio_mlflow_hub),
    "wandb": SetUp(beside=wandb),
}


@pytest.fixture
def set_ups() -> Mapping[str, SetUp]:
    """By the name of the page."""
    return PAGES
