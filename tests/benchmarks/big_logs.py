"""Writes large logs in the formats of others: .venv/bin/python tests/benchmarks/big_logs.py KIND FILE [ROWS]"""

from __future__ import annotations

import json
import random
import struct
import sys
from pathlib import Path

NAMES = (
    *("loss", "kl", "entropy", "reward", "reward_std", "grad_norm", "learning_rate", "epoch", "num_tokens"),
    *("completions/" + name for name in ("mean_length", "min_length", "max_length", "clipped_ratio")),
    *("clip_ratio/" + name for name in ("low_mean", "low_min", "high_mean", "high_max", "region_mean")),
    *(f"rewards/{name}/{kind}" for name in ("exact", "format", "style") for kind in ("mean", "std")),
    *("completions/" + name for name in ("mean_terminated_length", "min_terminated_length", "max_terminated_length")),
    *("frac_reward_zero_std", "step_time", "sampling/sampling_logp_difference/mean"),
)  # as TRL 1.16 logs them in GRPO: 30


def trainer_state(file: Path, rows: int) -> None:
    """A `trainer_state.json` of transformers with `rows` rows; 100,000 are 147 MB."""
    rng = random.Random(0)
    before = {"best_metric": None, "epoch": 1.0, "global_step": rows}
    after = {"logging_steps": 1, "max_steps": rows, "num_train_epochs": 1, "train_batch_size": 8}
    with file.open("w") as out:
        out.write(json.dumps(before, indent=2).removesuffix("\n}") + ',\n  "log_history": [\n')
        for step in range(1, rows + 1):
            row = {name: rng.random() for name in NAMES} | {"step": step}
            out.write("    " + json.dumps(row, indent=2).replace("\n", "\n    ") + (",\n" if step < rows else "\n"))
        out.write("  ],\n" + json.dumps(after, indent=2).removeprefix("{\n") + "\n")


def tensorboard(file: Path, rows: int) -> None:
    """An event file as torch's SummaryWriter writes it: an event for each number; 10,000 rows are 19 MB."""
    rng = random.Random(0)
    tags = [f"\x0a{chr(len(name) + 6)}train/{name}".encode() for name in NAMES]
    with file.open("wb") as out:
        out.write(_record(b"\x09" + struct.pack("<d", 1.7e9) + b"\x1a\x0dbrain.Event:2"))
        for step in range(1, rows + 1):
            time = b"\x09" + struct.pack("<d", 1.7e9 + step) + b"\x10" + _varint(step)
            for tag in tags:
                value = tag + b"\x15" + struct.pack("<f", rng.random())
                summary = b"\x0a" + _varint(len(value)) + value
                out.write(_record(time + b"\x2a" + _varint(len(summary)) + summary))


def csv(file: Path, rows: int) -> None:
    """A CSV with a step and 29 numbers; 100,000 rows are 55 MB."""
    rng = random.Random(0)
    with file.open("w") as out:
        out.write(",".join(["step", *NAMES[1:]]) + "\n")
        for step in range(rows):
            out.write(f"{step}," + ",".join([repr(rng.random()) for _ in NAMES[1:]]) + "\n")


def jsonl(file: Path, rows: int) -> None:
    """Lines of JSON with a step and 29 numbers; 100,000 rows are 117 MB."""
    rng = random.Random(0)
    with file.open("w") as out:
        for step in range(rows):
            out.write(json.dumps({"step": step} | {name: rng.random() for name in NAMES[1:]}) + "\n")


def _record(payload: bytes) -> bytes:
    length = struct.pack("<Q", len(payload))
    return length + _checksum(length) + payload + _checksum(payload)


def _checksum(data: bytes) -> bytes:
    """CRC-32C, masked as in TFRecord."""
    register = 0xFFFFFFFF
    for byte in data:
        register = CRC[(register ^ byte) & 255] ^ (register >> 8)
    crc = register ^ 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


CRC = [_crc_of(byte) for byte in range(256)]
KINDS = {"trainer_state": trainer_state, "tensorboard": tensorboard, "csv": csv, "jsonl": jsonl}

if __name__ == "__main__":
    KINDS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 100_000)
