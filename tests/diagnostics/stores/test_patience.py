"""What of all that goes wrong with a connection may pass."""

from __future__ import annotations

import errno
import ssl
import time

import pytest

from diagnostics.errors import UserError
from diagnostics.stores.patience import TRIES, patiently


def told_of(error: Exception, times: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a person is told where `error` comes so many times before the answer."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    told: list[str] = []
    left = iter(range(times))

    def ask() -> str:
        for _ in left:
            raise error
        return "answer"

    assert patiently(ask, "host", told.append, lambda why: UserError(why, "")) == "answer"
    assert len(slept) == times
    return told


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(errno.ECONNRESET, "reset"),
        TimeoutError("timed out"),
        ssl.SSLError("the record layer failed"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
    ],
    ids=repr,
)
def test_a_network_that_fails_in_the_middle_is_waited_for(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told_of(error, TRIES - 1, monkeypatch)[0] == "host broke the connection off: trying again in 1 s"
    with pytest.raises(UserError, match="the connection to host was cut"):
        told_of(error, TRIES, monkeypatch)


def test_a_disk_that_is_full_is_none_of_that(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="No space left"):
        told_of(OSError(errno.ENOSPC, "No space left on device"), 1, monkeypatch)
