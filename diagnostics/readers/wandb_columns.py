"""The columns that the keys in a `.wandb` file stand for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diagnostics.readers.columns import MOST_NAMES
from diagnostics.readers.protobuf import Malformed
from diagnostics.readers.wandb_fields import Bytes, Ints, Words, gathered
from diagnostics.readers.wandb_records import Names
from diagnostics.readers.wandb_records import names as names_in

TYPE = "_type"  # what the SDK's own objects (tables, histograms, pictures) have beside their data
_WIDEST = 128  # bytes; wider keys are looked up one by one
# Two keys are taken for one where their hashes agree; odd factors keep those apart that differ in eight bytes only.
_FACTORS = np.random.default_rng(2**31 - 1).integers(0, 1 << 63, _WIDEST // 8, dtype=np.uint64) * 2 + 1

Codes = NDArray[np.uint16]


class Columns:
    """Numbers the columns, in the order in which they come up.

    Column 0 is for what has no name, and for what comes up when there are `MOST_NAMES`. The names of a value, one
    below the other, are joined by "."; where that has been done before, to others ("a.b" and "b" below "a"), the
    column is called otherwise, and is in `renamed`. `wholes` has for each column the object that it is a part of, 0
    where it stands by itself; `types` are the columns that tell the type of an object.
    """

    def __init__(self) -> None:
        self.names = [""]
        self.paths: list[Names] = [()]  # of each column the names it was logged under
        self.wholes = [0]
        self.types: list[int] = []
        self.renamed: list[str] = []
        self._taken: set[str] = set()
        self._columns: dict[Names, int] = {}
        self._objects: dict[Names, int] = {(): 0}
        self._hashes = np.zeros(1, np.uint64)  # of keys, in order; 0 is that of no key at all
        self._hashed: Codes = np.zeros(1, np.uint16)

    @property
    def full(self) -> bool:
        """Whether there is no room for another one."""
        return len(self.names) > MOST_NAMES

    def of_keys(self, raw: bytes, data: Bytes, starts: Ints, stops: Ints) -> Codes:
        """The column of each key (n,); a key is what stands in an item before its value, from start to stop."""
        sizes = stops - starts
        width = min(-(-int(sizes.max(initial=1)) // 8) * 8, _WIDEST)
        hashes = gathered(data, starts, stops, width).view(np.uint64) @ _FACTORS[: width // 8]
        columns = np.zeros(len(sizes), np.uint16)
        columns = np.zeros(len(sizes), np.uint16)
        wide = sizes > _WIDEST
        for i in np.flatnonzero(wide).tolist():
            columns[i] = self._of_key(raw[starts[i] : stops[i]])
        at = self._find(hashes)
        unknown = np.flatnonzero((self._hashes[at] != hashes) & ~wide)
        if len(unknown):
            new: dict[int, int] = {}
            for i, hashed in zip(unknown.tolist(), hashes[unknown].tolist(), strict=True):
                if hashed not in new:
                    new[hashed] = self._of_key(raw[starts[i] : stops[i]])
            self._learn(new)
            at = self._find(hashes)
        return np.where(wide, columns, self._hashed[at])

    def of_names(self, names: Names) -> int:
        """The column of a value below these names."""
        column = self._columns.get(names)
        if column is None:
            if self.full or not any(names):
                return 0
            column = self._columns[names] = self._add(names)
        return column

    def _add(self, names: Names) -> int:
        name = joined = ".".join(names)
        twin = 1
        while name in self._taken:
            twin += 1
            name = f"{joined} ({twin})"
        if twin > 1:
            self.renamed.append(name)
        self._taken.add(name)
        self.names.append(name)
        self.paths.append(names)
        self.wholes.append(self._objects.setdefault(names[:-1], len(self._objects)))
        if names[-1] == TYPE and len(names) > 1:
            self.types.append(len(self.names) - 1)
        return len(self.names) - 1

    def _of_key(self, key: bytes) -> int:
        try:
            return self.of_names(names_in(key))
        except Malformed:
            return 0

    def _find(self, hashes: Words) -> Ints:
        return np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)

    def _learn(self, new: dict[int, int]) -> None:
        hashes = np.concatenate((self._hashes, np.fromiter(new, np.uint64, len(new))))
        columns = np.concatenate((self._hashed, np.fromiter(new.values(), np.uint16, len(new))))
        order = np.argsort(hashes)
        self._hashes, self._hashed = hashes[order], columns[order]
