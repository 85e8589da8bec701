"""What a model said, step by step: groups of completions, and where each step lies in a file that may be very long."""

from __future__ import annotations

import json
import math
import os
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from diagnostics.errors import UserError
from diagnostics.events import SAMPLES_FILE, SamplesLogged, decode
from diagnostics.sources import Source

AT_ONCE = 4 << 20  # bytes
LONGEST_LINE = 64 << 20  # bytes; a longer one is counted as damaged
TRAIN = "train"  # the split of what is trained on
OF_BATCH = (
    "reward_mean",
    "zero_std_share",
    "unique_share",
    "eos_share",
)  # what a run logs of all completions of a step
KEPT = 4  # steps that are kept in memory
# A line as `diagnostics.events.encode` begins it; of any other all is looked at.
_LINE = re.compile(
    rb'\{"v": 1, "type": "samples_logged", "seq": \d+, "time": [\d.]+, "attempt": (\d{1,9}), "step": (\d{1,15}), '
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion; what is not known of it is None.

    `reward` is raw, `advantage` what the trainer made of it; `tokens` is how many it has, `ended` whether by itself.
    """

    prompt: str
    completion: str
    reward: float | None = None
    advantage: float | None = None
    tokens: int | None = None
    ended: bool | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """The completions of one prompt, or all those of a split whose prompts have one each (`prompt` is None).

    `of` is how many there were in training, where not all are told.
    """

    split: str
    prompt: str | None
    samples: tuple[Sample, ...]
    of: int = 0

    @property
    def rewards(self) -> list[float]:
        """Those that are known and numbers, as they were logged."""
        known = (sample.reward for sample in self.samples)
        return [reward for reward in known if reward is not None and not math.isnan(reward)]

    @property
    def alike(self) -> bool:
        """Whether all rewards are the same, so that nothing is learned from them."""
        rewards = self.rewards
        return len(rewards) == len(self.samples) > 1 and len(set(rewards)) == 1

    def distinct(self) -> list[tuple[Sample, int]]:
        """Each completion once with how often it is there, those of the highest reward first, unknown ones last."""
        counted = Counter((sample.prompt, sample.completion, sample.reward) for sample in self.samples)
        first: dict[tuple[str, str, float | None], Sample] = {}
        for sample in self.samples:
            first.setdefault((sample.prompt, sample.completion, sample.reward), sample)
        return sorted(((first[key], n) for key, n in counted.items()), key=lambda pair: _worth(pair[0]), reverse=True)


@dataclass(frozen=True, slots=True)
class Spread:
    """Rewards in a few numbers: how many are known, and of those that are finite their mean, deviation, ends."""

    known: int
    mean: float
    deviation: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class SampledStep:
    """What is told of one step; `odd` counts the entries that are no samples."""

    step: int
    groups: tuple[Group, ...]
    odd: int = 0

    def of_split(self, split: str) -> list[Group]:
        """Its groups."""
        return [group for group in self.groups if group.split == split]


def spread(rewards: Sequence[float]) -> Spread | None:
    """None where no reward is finite."""
    finite = [reward for reward in rewards if math.isfinite(reward)]
    if not finite:
        return None
    deviation = statistics.stdev(finite) if len(finite) > 1 else 0.0
    return Spread(len(rewards), statistics.fmean(finite), deviation, min(finite), max(finite))


def sampled(event: SamplesLogged) -> SampledStep:
    """The samples of a step in groups: neighbours of one split and one group or, where no group is told, one prompt."""
    together: dict[tuple[str, object, str], list[Mapping[str, Any]]] = {}
    odd = 0
    for entry in event.samples:
        if "completion" not in entry:
            odd += 1
            continue
        key = plain(entry.get("split", "")), repr(entry.get("group")), plain(entry.get("prompt", ""))
        together.setdefault(key, []).append(entry)
    groups: dict[object, Group] = {}
    for (split, number, prompt), entries in together.items():
        samples = tuple(map(_sample, entries))
        if len(samples) > 1:
            of = max((n for entry in entries if (n := _whole(entry.get("of"))) is not None), default=0)
            groups[split, number, prompt] = Group(split, prompt, samples, of)
        else:  # one completion is no group: those of a split stand side by side
            before = groups.get(split)
            groups[split] = Group(split, None, (*before.samples, *samples) if before else samples)
    return SampledStep(event.step, tuple(groups.values()), odd)


def plain(value: Any) -> str:
    """A prompt or a completion as text: of messages each with who says it."""
    match value:
        case str():
            return value
        case None:
            return ""
        case list() if value and all(isinstance(message, dict) and "content" in message for message in value):
            return "\n".join(f"{plain(message.get('role', '?'))}: {plain(message['content'])}" for message in value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _said(value: Any) -> str:
    """A completion as text: who says it stands beside it only where it is several messages."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) and "content" in value[0]:
        return plain(value[0]["content"])
    return plain(value)


def _sample(entry: Mapping[str, Any]) -> Sample:
    ended = entry.get("ended")
    return Sample(
        plain(entry.get("prompt", "")),
        _said(entry["completion"]),
        _number(entry.get("reward")),
        _number(entry.get("advantage")),
        _whole(entry.get("tokens")),
        ended if isinstance(ended, bool) else None,
    )


def _number(value: Any) -> float | None:
    try:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except OverflowError:
        return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _worth(sample: Sample) -> tuple[bool, float]:
    known = sample.reward is not None and not math.isnan(sample.reward)
    return known, sample.reward if known and sample.reward is not None else 0.0


def of_log(source: Source) -> SampleFile | None:
    """Where the samples of a log lie; None where logs of its format hold none that can be read."""
    if source.format != "events":
        return None
    path = source.paths[0]
    return SampleFile((path if path.is_dir() else path.parent) / SAMPLES_FILE)


class SampleFile:
    """Finds the samples of any step in a file that may grow, or not be there yet; a torn last line means "not yet".

    Of a step that is told more than once the last counts. What a later attempt begins with takes back what earlier ones
    told of that step and later. `damaged` counts lines that cannot be read; those within a long line are found when the
    step is read. UserError where the file is none, or a link.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        self.position = 0  # bytes that were looked at
        self._file: BinaryIO | None = None
        self._places: dict[int, tuple[int, int, int]] = {}  # of a step: attempt, first byte, bytes
        self._attempt = 0
        self._start = 0  # of the line under way
        self._rest: list[bytes] = []
        self._length = 0  # of the line under way
        self._known: dict[int, SampledStep] = {}

    @property
    def steps(self) -> tuple[int, ...]:
        """Those that have samples, in their order."""
        return tuple(sorted(self._places))

    @property
    def size(self) -> int:
        """Bytes that it has by now, 0 where it is not there. OSError where that cannot be known."""
        return os.fstat(self._file.fileno()).st_size if self._file is not None else 0

    def poll(self) -> bool:
        """Look at what is new, some megabytes at most; whether there was anything. OSError where it cannot be read."""
        if self._file is None and not self._open():
            return False
        assert self._file is not None
        self._file.seek(self.position)
        chunk = self._file.read(AT_ONCE)
        self.position += len(chunk)
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._take(end)
            if self._length <= LONGEST_LINE:
                self._look(b"".join(self._rest))
            else:
                self.damaged += 1
            self._start += self._length + 1
            self._rest, self._length = [], 0
        self._take(rest)
        return bool(chunk)

    def read(self, step: int) -> SampledStep | None:
        """The samples of `step`; None where there are none, or its line is damaged, which is counted."""
        if step not in self._known and step in self._places:
            assert self._file is not None
            _, start, length = self._places[step]
            self._file.seek(start)
            try:
                event = decode(self._file.read(length)).event
                told = sampled(event) if isinstance(event, SamplesLogged) else None
            except (ValueError, RecursionError):
                told = None
            if told is None:
                self.damaged += 1
                del self._places[step]
                return None
            if len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[step] = told
        return self._known.get(step)

    def close(self) -> None:
        """Stop reading."""
        if self._file is not None:
            self._file.close()

    def _open(self) -> bool:
        if self.path.is_symlink() or (self.path.exists() and not self.path.is_file()):
            raise UserError(f"{self.path.name} is no file of this folder, and is not read")
        try:
            self._file = self.path.open("rb")
        except FileNotFoundError:
            return False
        return True

    def _take(self, part: bytes) -> None:
        self._length += len(part)
        if self._length <= LONGEST_LINE:
            self._rest.append(part)
        else:
            self._rest = []

    def _look(self, line: bytes) -> None:
        if not line.strip():
            return
        begun = _LINE.match(line)
        if begun and line.rstrip().endswith(b"]}"):
            attempt, step = int(begun[1]), int(begun[2])
        else:
            try:
                envelope = decode(line)
            except ValueError:
                self.damaged += 1
                return
            if not isinstance(envelope.event, SamplesLogged):
                return
            attempt, step = envelope.attempt, envelope.event.step
        if attempt > self._attempt:
            self._attempt = attempt
            self._places = {known: place for known, place in self._places.items() if known < step}
            self._known = {known: told for known, told in self._known.items() if known < step}
        self._places[step] = attempt, self._start, len(line)
        self._known.pop(step, None)
