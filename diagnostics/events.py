"""How a run speaks: typed events, one JSON line each, that survive a kill and can be followed while written."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from diagnostics.finding import Finding, finding_from_json, finding_to_json

VERSION = 1
MOST_STEPS = 2**53  # steps are plotted and averaged as float64, exact up to here
EVENTS_FILE = "events.jsonl"
SAMPLES_FILE = "samples.jsonl"


class Outcome(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    STOPPED = "stopped"  # by a finding or by the loop; says nothing bad of our code
    FAILED = "failed"  # an exception
    INTERRUPTED = "interrupted"  # by a person


@dataclass(frozen=True, slots=True)
class RunStarted:
    """What is about to run: settings under canonical names and as the framework calls them."""

    step: int
    framework: str
    framework_version: str
    settings: Mapping[str, Any]
    raw_settings: Mapping[str, Any] = field(default_factory=dict)
    reward_bounds: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricsLogged:
    """Metrics of one step under canonical names; `unmapped` keeps what had no canonical name."""

    step: int
    metrics: Mapping[str, float]
    unmapped: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SamplesLogged:
    """Some completions of one step: each with `prompt`, `completion` and `reward`, and what else is known of it.

    `split` is what its prompt is of. Those of one `group` answer the same prompt; `of` is how many there were where not
    all are told. `tokens` is the length, `ended` whether it ended by itself, `advantage` what the trainer made of it.
    """

    step: int
    samples: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint of `step` lies at `path`, relative to the run's folder."""

    step: int
    path: str


@dataclass(frozen=True, slots=True)
class FindingRaised:
    """A finding was raised at `step`, or rose to a higher severity."""

    step: int
    finding: Finding


@dataclass(frozen=True, slots=True)
class KnobChanged:
    """A setting was changed while the run went on."""

    step: int
    knob: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The last event of an attempt."""

    step: int
    outcome: Outcome
    reason: str = ""


Event = RunStarted | MetricsLogged | SamplesLogged | CheckpointSaved | FindingRaised | KnobChanged | RunEnded
Emit = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event as it stands in the file: `seq` counts within the file, `time` is seconds since the epoch."""

    seq: int
    time: float
    attempt: int
    event: Event


# ---- numbers: JSON has no NaN, and NaN is evidence

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _written(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(k): _written(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_written(v) for v in value]
    return value


def _number(value: Any) -> float:
    return float(_NON_FINITE[value] if isinstance(value, str) else value)


def _numbers(data: Mapping[str, Any]) -> dict[str, float]:
    return {name: _number(value) for name, value in data.items()}


def _settings(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _NON_FINITE.get(v, v) if isinstance(v, str) else v for name, v in data.items()}


def _sample(data: Mapping[str, Any]) -> dict[str, Any]:
    numbers = ("reward", "advantage")  # a completion may well be the text "NaN"
    return dict(data) | {name: _number(data[name]) for name in numbers if isinstance(data.get(name), str)}


# ---- one line


def _payload(event: Event) -> tuple[str, dict[str, Any]]:
    match event:
        case RunStarted():
            return "run_started", {
                "framework": event.framework,
                "framework_version": event.framework_version,
                "settings": event.settings,
                "raw_settings": event.raw_settings,
                "reward_bounds": event.reward_bounds,
                "notes": event.notes,
            }
        case MetricsLogged():
            return "metrics_logged", {"metrics": event.metrics, "unmapped": event.unmapped}
        case SamplesLogged():
            return "samples_logged", {"samples": event.samples}
        case CheckpointSaved():
            return "checkpoint_saved", {"path": event.path}
        case FindingRaised():
            return "finding_raised", {"finding": finding_to_json(event.finding)}
        case KnobChanged():
            return "knob_changed", {"knob": event.knob, "before": event.before, "after": event.after}
        case RunEnded():
            return "run_ended", {"outcome": str(event.outcome), "reason": event.reason}


def _event(kind: str, step: int, data: Mapping[str, Any]) -> Event:
    match kind:
        case "run_started":
            bounds = data.get("reward_bounds")
            return RunStarted(
                step,
                str(data["framework"]),
                str(data["framework_version"]),
                _settings(data["settings"]),
                _settings(data.get("raw_settings", {})),
                None if bounds is None else (_number(bounds[0]), _number(bounds[1])),
                tuple(str(note) for note in data.get("notes", ())),
            )
        case "metrics_logged":
            return MetricsLogged(step, _numbers(data["metrics"]), _numbers(data.get("unmapped", {})))
        case "samples_logged":
            return SamplesLogged(step, tuple(_sample(sample) for sample in data["samples"]))
        case "checkpoint_saved":
            return CheckpointSaved(step, str(data["path"]))
        case "finding_raised":
            return FindingRaised(step, finding_from_json(data["finding"]))
        case "knob_changed":
            return KnobChanged(step, str(data["knob"]), _number(data["before"]), _number(data["after"]))
        case "run_ended":
            return RunEnded(step, Outcome(data["outcome"]), str(data.get("reason", "")))
        case _:
            raise ValueError(f"unknown event type {kind!r}")


def encode(envelope: Envelope) -> str:
    """One line of JSON without its newline; non-finite numbers become "NaN", "Infinity" and "-Infinity"."""
    kind, payload = _payload(envelope.event)
    head = {
        "v": VERSION,
        "type": kind,
        "seq": envelope.seq,
        "time": round(envelope.time, 3),
        "attempt": envelope.attempt,
        "step": envelope.event.step,
    }
    return dumps(head | payload)


def dumps(data: Mapping[str, Any], *, indent: int | None = None) -> str:
    """JSON as every record of ours is written: non-finite numbers become "NaN", "Infinity" and "-Infinity"."""
    return json.dumps(_written(data), allow_nan=False, ensure_ascii=False, indent=indent)


def decode(line: str | bytes) -> Envelope:
    """The inverse of `encode`. ValueError where the line is no event of this version."""
    try:
        data = json.loads(line)
        if data["v"] != VERSION:
            raise ValueError(f"event version {data['v']}, this autotune reads version {VERSION}")
        step = int(data["step"])
        if not 0 <= step < MOST_STEPS:
            raise ValueError(f"step {step} is out of range")
        return Envelope(int(data["seq"]), float(data["time"]), int(data["attempt"]), _event(data["type"], step, data))
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8") from None
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise ValueError(f"not an event: {error!r}") from error


# ---- files


class EventLog:
    """The one writer of an event file. Each line is on its way to the disk before `emit` returns.

    Raises OSError where the file cannot be opened or written.
    """

    def __init__(self, path: Path, *, attempt: int = 1, clock: Callable[[], float] = time.time) -> None:
        self._attempt, self._clock = attempt, clock
        path.parent.mkdir(parents=True, exist_ok=True)
        self._seq = _lines_in(path)
        self._file = path.open("a", encoding="utf-8", errors="surrogatepass", buffering=1)
        if _is_torn(path):  # an earlier writer was killed in mid-line: leave its line to be counted as unreadable
            self._file.write("\n")

    def emit(self, event: Event) -> None:
        """Append `event`."""
        self._file.write(encode(Envelope(self._seq, self._clock(), self._attempt, event)) + "\n")
        self._seq += 1

    def close(self) -> None:
        """Close the file; nothing may be emitted after."""
        self._file.close()


def _lines_in(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _is_torn(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


_CHUNK = 1 << 20  # bytes


class Tail:
    """Follows an event file that may not exist yet. A torn last line means "not yet".

    `unreadable` counts whole lines that are no events; `last_error` says why the last of them was not.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unreadable = 0
        self.last_error = ""
        self._file: BinaryIO | None = None
        self._rest = b""
        self.position = 0  # bytes read

    def poll(self) -> Iterator[Envelope]:
        """The events that were finished since the last call."""
        if self._file is None:
            try:
                self._file = self.path.open("rb")
            except FileNotFoundError:
                return
        while chunk := self._file.read(_CHUNK):
            self.position += len(chunk)
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                if not line.strip():
                    continue
                try:
                    yield decode(line)
                except ValueError as error:
                    self.unreadable += 1
                    self.last_error = str(error)

    @property
    def torn(self) -> bool:
        """Whether the file, as far as read, ends in the middle of a line."""
        return bool(self._rest.strip())

    def close(self) -> None:
        """Stop following."""
        if self._file is not None:
            self._file.close()
