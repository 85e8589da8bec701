"""A server of wandb's on loopback, and what a person has set up to ask it. Servers beside this are imported by name."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

import wandb_server
from wandb_server import Run, Server

from diagnostics.stores import patience


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Serves runs; whoever asks has its key and address in the environment, an empty home, and no patience."""
    servers = []

    def begin(*runs: Run) -> Server:
        server = Server(*runs)
        servers.append(server)
        server.__enter__()
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        return server

    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("WANDB_API_KEY", wandb_server.KEY)
    for name in ("NETRC", "WANDB_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(home)
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.0)
    yield begin
    for server in servers:
        server.__exit__()
