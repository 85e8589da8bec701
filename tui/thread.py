"""The thread that reads what the monitor shows.

It is the only one that touches files, so that a slow disk never makes a key wait. It is a daemon and nobody joins it: a
read that hangs keeps the monitor from nothing, from closing least of all.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

Snapshot = TypeVar("Snapshot")


class ReadingThread(ABC, Generic[Snapshot]):
    """Calls `publish`, from a thread of its own, with each snapshot that is news.

    `failed` is called with an error that is a bug of ours, after which the thread is over.
    """

    def __init__(self, publish: Callable[[Snapshot], None], failed: Callable[[BaseException], None]) -> None:
        self.over = False
        self._publish, self._failed = publish, failed
        self._last: Snapshot | None = None

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._run, name="feed", daemon=True).start()

    def stop(self) -> None:
        """Publish nothing more; does not wait for the thread."""
        self.over = True
        self._wake()

    def look(self) -> None:
        """Read now rather than after the usual wait."""
        self._wake()

    def clear_away(self) -> None:
        """Take away what was written for this thread alone; nothing is read after."""

    def tell(self, snapshot: Snapshot) -> None:
        """Publish `snapshot` where it is news."""
        if snapshot != self._last and not self.over:
            self._last = snapshot
            self._publish(snapshot)

    @abstractmethod
    def read(self) -> Snapshot:
        """Look at the files once."""

    @abstractmethod
    def close(self) -> None:
        """Stop reading."""

    @abstractmethod
    def _wait(self) -> None:
        """Until the next look."""

    @abstractmethod
    def _wake(self) -> None:
        """End `_wait`, in the other thread."""

    def _run(self) -> None:
        try:
            while not self.over:
                self.tell(self.read())
                self._wait()
        except BaseException as error:
            if not self.over:  # an app that is closing no longer takes messages
                self._failed(error)
                raise
        finally:
            self.close()
