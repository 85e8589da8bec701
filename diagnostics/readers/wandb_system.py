"""What a `.wandb` file says of the machine: samples that the SDK takes every few seconds, beside the rows of the run.

They have times and no steps; each belongs to the row that was logged last. Names are those of wandb 0.12 to 0.31.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from statistics import fmean

from diagnostics.readers.table import Table, number
from diagnostics.readers.wandb_records import stats

MIB, GIB = 2.0**20, 2.0**30  # bytes; wandb's MB are MiB
GPU = "system/gpu_utilization"
MEMORY = "system/process_memory"
MEANT = {GPU: "gpu_utilization", MEMORY: "process_memory"}

_OF_THE_PROCESS = re.compile(r"gpu\.process\.\d+\.gpu")  # the GPUs that the run itself computes on
_OF_ANYONE = re.compile(r"gpu\.\d+\.gpu")
_RSS = "proc.memory.rssMB"


class System:
    """Puts samples into `table`: the first that was taken after a row, so that what follows a run sees nothing late."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._row = -1

    def put(self, record: bytes, row: int) -> None:
        """Add a sample; `row` is the number of the row that was logged last, below 0 before the first.

        ValueError where it is malformed.
        """
        if row <= self._row:
            return
        self._row = row
        for name, value in _told(stats(record)).items():
            self._table.column(name).put(row, value)
            self._table.meant[name] = MEANT[name]


def _told(sample: Mapping[str, str]) -> dict[str, float]:
    """What is certain of a sample: of the GPUs the mean."""
    found = {}
    for which in (_OF_THE_PROCESS, _OF_ANYONE):
        busy = [value for name, text in sample.items() if which.fullmatch(name) and (value := number(text)) is not None]
        if busy:
            found[GPU] = fmean(busy) / 100
            break
    memory = number(sample.get(_RSS))
    if memory is not None:
        found[MEMORY] = memory * MIB / GIB
    return found
