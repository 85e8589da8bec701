"""How often what a rule says with some confidence is right.

Counted is each code at WARNING or above on a run, once, at the confidence of its worst finding. It is right where the
label says that it is present or may be, wrong where it is a false alarm; where a label of a sick run does not name it,
it counts neither way.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from judge import Said, judged
from labels import Run

from diagnostics.finding import Confidence, Severity

# What a confidence promises: the least share that is right, and the share from which on a higher one could be claimed.
PROMISED = {Confidence.HIGH: (0.9, 1.0), Confidence.MEDIUM: (0.6, 0.9), Confidence.LOW: (0.0, 0.6)}


@dataclass(slots=True)
class Right:
    """Findings of one kind: of things that are present, of things that may be, and false ones; and those not known."""

    present: int = 0
    maybe: int = 0
    wrong: int = 0
    unknown: int = 0

    @property
    def share(self) -> float:
        """Of those that are known to be right or wrong; NaN where none is."""
        return (self.present + self.maybe) / self.known if self.known else math.nan

    @property
    def known(self) -> int:
        """How many are known to be right or wrong."""
        return self.present + self.maybe + self.wrong

    def __add__(self, other: Right) -> Right:
        return Right(
            self.present + other.present, self.maybe + other.maybe, self.wrong + other.wrong,
            self.unknown + other.unknown,
        )  # fmt: skip


def reliability(runs: Sequence[Run], said: Mapping[str, Said]) -> Mapping[tuple[str, Confidence], Right]:
    """By code and confidence."""
    counted: dict[tuple[str, Confidence], Right] = defaultdict(Right)
    for run in runs:
        present = {code for wanted in run.label.present for code in wanted.codes}
        false = {f.code for f in judged(run.label, said[run.name]).false}
        for code, findings in said[run.name].items():
            worst = max(findings, key=lambda finding: finding.severity, default=None)
            if worst is None or worst.severity < Severity.WARNING:
                continue
            if code in present:
                one = Right(present=1)
            elif code in run.label.maybe:
                one = Right(maybe=1)
            else:
                one = Right(wrong=1) if code in false else Right(unknown=1)
            counted[code, worst.confidence] += one
    return dict(sorted(counted.items()))


def claims(confidence: Confidence, right: Right) -> str:
    """Whether a confidence promises too much, or less than it could, where that is not by chance (one in twenty)."""
    least, most = PROMISED[confidence]
    known, good = right.known, right.present + right.maybe
    if known and good < least * known:
        return "too much"
    chance = sum(math.comb(known, n) * most**n * (1 - most) ** (known - n) for n in range(good, known + 1))
    return "too little" if chance < 0.05 else ""
