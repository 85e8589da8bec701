"""Which names are those of runs on wandb's servers, and which server is told which key."""

from pathlib import Path

import pytest

from autotune.named import named
from diagnostics.errors import UserError
from diagnostics.stores import hub, mlflow, wandb
from diagnostics.stores.store import EVERYTHING, safe, store_of
from diagnostics.stores.wandb_names import CLOUD, Where, configured, key_for, parsed


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_BASE_URL", "WANDB_API_KEY", "WANDB_CONFIG_DIR", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("team/qwen2.5-grpo/1a2b3c4d", Where(CLOUD, "team", "qwen2.5-grpo", run="1a2b3c4d")),
        ("team/project", Where(CLOUD, "team", "project")),
        ("team/project/runs/abc", Where(CLOUD, "team", "project", run="abc")),
        ("team/project/sweeps/abc", Where(CLOUD, "team", "project", sweep="abc")),
        ("wandb:team/my project/abc", Where(CLOUD, "team", "my project", run="abc")),
        ("https://wandb.ai/team/project", Where(CLOUD, "team", "project")),
        ("https://wandb.ai/team/my%20project/runs/abc?nw=x#y", Where(CLOUD, "team", "my project", run="abc")),
        ("https://wandb.ai/team/project/runs/abc/logs", Where(CLOUD, "team", "project", run="abc")),
        ("https://wandb.ai/team/project/sweeps/abc/workspace", Where(CLOUD, "team", "project", sweep="abc")),
        ("https://wandb.ai/team/project/workspace", Where(CLOUD, "team", "project")),
        ("https://forge.coreweave.com/wandb/team/project/runs/abc", Where(CLOUD, "team", "project", run="abc")),
        ("https:/wandb.ai/team/project/runs/abc", Where(CLOUD, "team", "project", run="abc")),  # as a path has it
        ("https://lab.wandb.io/team/project", Where("https://lab.wandb.io", "team", "project")),
        ("http://10.0.0.5:8080/t/p/runs/abc", Where("http://10.0.0.5:8080", "t", "p", run="abc")),
        ("https://me:secret@lab.org/t/p/runs/abc", Where("https://lab.org", "t", "p", run="abc")),
    ],
)
def test_what_a_name_names(name: str, where: Where) -> None:
    assert parsed(name) == where
    assert wandb.owns(name)


@pytest.mark.parametrize(
    "name",
    [
        "run", "runs/a.csv", "wandb/x/run-1.wandb", "./team/project", "../team/project", "/team/project", "~/a/b",
        "team//project", "team/project/", "a/b/c/d", "a/b/c/d/e", "team/..", "wandb:team/../x", "wandb:team",
        "https://example.org/team/project", "https://wandb.ai/team", "http://127.0.0.1:5000/#/experiments/1/runs/2",
        "logs/events.out.tfevents.1", "", "a b/c", "a\nb/c",
        "https://[x/team/project/runs/abc",
    ],
)  # fmt: skip
def test_what_names_nothing_there(name: str) -> None:
    assert not wandb.owns(name)


def test_no_two_stores_want_the_same_name() -> None:
    for name in ("team/project/abc", "https://wandb.ai/team/project/runs/abc", "wandb:team/project"):
        assert not hub.owns(name) and not mlflow.owns(name)
        store = store_of(name)
        assert store is not None and store.NAME == wandb.NAME


def test_what_exists_is_a_path_and_so_is_what_is_spelt_nearly_like_it(tmp_path: Path) -> None:
    assert store_of("outputs/grpo-1") is not None
    (tmp_path / "outputs").mkdir()
    assert store_of("outputs/grpo-1") is None
    assert store_of("output/grpo-1") is None
    (tmp_path / "team" / "project").mkdir(parents=True)
    assert store_of("team/project") is None
    assert store_of("wandb:outputs/grpo-1") is not None


def test_what_cannot_be_a_path_is_asked_for_without_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store_of("x" * 5000) is None
    assert store_of("a\0b") is None
    assert store_of(f"team/{'x' * 5000}") is not None
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert store_of("team/project") is not None


@pytest.mark.parametrize(
    "name", ["http://[x", "//[x/y", "https://[::1/a/b", "http://a℀b/c", "http://localhost:50o0", "http://:5000"]
)
def test_what_is_no_address_is_the_path_that_it_looks_like(name: str) -> None:
    place = named(name, Path())
    assert place.store is None
    with pytest.raises(UserError, match="there is no "):
        place.find()


def test_what_is_no_repository_is_told_without_a_bug(tmp_path: Path) -> None:
    store = named("hf://[x]/y", Path()).store
    assert store is hub
    with pytest.raises(UserError, match=r"hf://\[x\]/y names no repository"):
        store.fetch("hf://[x]/y", EVERYTHING, tmp_path, print)


def test_the_server_is_the_one_that_wandb_is_set_up_for(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert configured(home) == CLOUD
    (tmp_path / ".config" / "wandb").mkdir(parents=True)
    (tmp_path / ".config" / "wandb" / "settings").write_text("[default]\nbase_url = https://lab.org/\n")
    assert configured(home) == "https://lab.org"
    assert configured(home | {"WANDB_BASE_URL": "https://api.forge.coreweave.com"}) == CLOUD
    assert configured(home | {"WANDB_BASE_URL": "https://me:secret@lab.org:8080/"}) == "https://lab.org:8080"
    (tmp_path / ".config" / "wandb" / "settings").write_text("not a settings file")
    assert configured(home) == CLOUD


def test_a_key_is_told_to_its_own_server_only(tmp_path: Path) -> None:
    mine = {"HOME": str(tmp_path), "WANDB_API_KEY": "mine"}
    assert key_for(CLOUD, mine) == "mine"
    assert key_for("https://evil.org", mine) == ""
    assert key_for("https://lab.org", mine | {"WANDB_BASE_URL": "https://lab.org"}) == "mine"
    assert key_for(CLOUD, mine | {"WANDB_BASE_URL": "https://lab.org"}) == ""
    (tmp_path / ".netrc").write_text(
        "machine lab.org:8080 login user password theirs\nmachine api.wandb.ai\n  login user\n  password cloud\n"
    )
    assert key_for("http://lab.org:8080", mine) == "theirs"
    assert key_for("http://lab.org", mine) == ""
    assert key_for(CLOUD, {"HOME": str(tmp_path)}) == "cloud"
    (tmp_path / "other").write_text("machine api.wandb.ai login user password another\n")
    assert key_for(CLOUD, {"HOME": str(tmp_path), "NETRC": str(tmp_path / "other")}) == "another"
    (tmp_path / ".netrc").write_text("machine machine what\n")
    assert key_for(CLOUD, {"HOME": str(tmp_path)}) == ""


@pytest.mark.parametrize("part", ["..", ".", "../../etc", "a/b", "a\0b", "é", "x" * 5000, "%2E%2E", "con:1"])
def test_no_name_leaves_its_folder(part: str, tmp_path: Path) -> None:
    made = tmp_path / safe(part)
    made.mkdir()
    assert made.resolve().parent == tmp_path.resolve()


def test_two_names_are_two_folders() -> None:
    names = ["a/b", "a%2Fb", "a:b", "x" * 101, "x" * 102, "..", "%.."]
    assert len({safe(name) for name in names}) == len(names)
