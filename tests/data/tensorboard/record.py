"""Writes the event files of the tests with the real packages: record.py WRITER..., from an environment that has them.

    torch         torch, tensorboard    two files of one run, settings as Trainer and CleanRL write them, `add_hparams`
    tensorboardx  tensorboardX
    tf            tensorflow, with tensorboard  scalars as tensors of every kind, as JAX's clu has them too
    merged        tensorboard           many numbers in one event, as writers of TF 1 make them
    golden        tensorflow            golden.json: what TensorBoard's own EventAccumulator reads from all of them

The files that are there were written with torch 2.13, tensorboard 2.21, tensorboardX 2.6.5 and tensorflow 2.21.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ARGUMENTS = {"output_dir": "out", "learning_rate": 1e-06, "beta": 0.04, "num_generations": 8, "fp16": False}
MODEL = {"architectures": ["Tiny"], "temperature": 1.0, "transformers_version": "4.57.1"}
TABLE = "|param|value|\n|-|-|\n|exp_name|ppo|\n|learning_rate|0.00025|\n|anneal_lr|True|\n|target_kl|None|"


def fresh(name: str) -> Path:
    folder = HERE / f"by_{name}"  # not the name of a package: this file's folder is on the path
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def rename(folder: Path, number: int) -> None:
    """Give the file that was just written a name without this machine's."""
    for file in folder.glob("*tfevents*"):
        if not file.name.startswith("events.out.tfevents.170000000"):
            file.rename(folder / f"events.out.tfevents.170000000{number}.host.1.0{'.v2' * file.name.endswith('.v2')}")


def loss(step: int) -> float:
    return {5: math.nan, 6: math.inf, 7: -math.inf}.get(step, math.exp(-step / 7))


def torch() -> None:
    import numpy as np
    from torch.utils.tensorboard import SummaryWriter

    folder = fresh("torch")
    with SummaryWriter(str(folder)) as writer:
        writer.add_text("args", json.dumps(ARGUMENTS, indent=2))
        writer.add_text("model_config", json.dumps(MODEL, indent=2))
        writer.add_text("hyperparameters", TABLE)
        writer.add_text("sample", "an answer")
        for step in range(20):
            writer.add_scalar("train/loss", loss(step), step)
            writer.add_scalar("train/belohnung_ä", step / 20 - 0.3, step)
            writer.add_scalar("new_style", step * 1e10, step, new_style=True)
            writer.add_scalar("double", step / 3, step, new_style=True, double_precision=True)
            if step % 5 == 0:
                writer.add_scalar("eval/reward", step, step)
                writer.add_histogram("weights", np.arange(10.0), step)
        writer.add_hparams({"lr": 0.1, "name": "x", "flag": True}, {"hparam/accuracy": 0.9}, run_name="1700000001.5")
    rename(folder / "1700000001.5", 1)
    rename(folder, 0)
    with SummaryWriter(str(folder), purge_step=15) as writer:  # resumed at 15, and far
        for step in [*range(15, 25), 2**40]:
            writer.add_scalar("train/loss", loss(step) + 1, step)
    rename(folder, 2)


def tensorboardx() -> None:
    import numpy as np
    from tensorboardX import SummaryWriter

    folder = fresh("tensorboardx")
    writer = SummaryWriter(str(folder))
    for step in range(20):
        writer.add_scalar("loss", loss(step), step)
        writer.add_scalar("named", step, step, display_name="a name", summary_description="what it is")
        if step % 10 == 0:
            writer.add_histogram("weights", np.arange(10.0), step)
    writer.add_text("sample", "an answer")
    writer.close()
    rename(folder, 0)


def tf() -> None:
    import tensorflow as tf

    folder = fresh("tf")
    metadata = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
    kinds = [tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.int32, tf.int64, tf.uint8]
    with tf.summary.create_file_writer(str(folder)).as_default():
        for step in range(10):
            tf.summary.scalar("loss", loss(step), step)
            tf.summary.histogram("weights", [1.0, 2.0, 3.0], step)
            tf.summary.text("sample", "an answer", step)
            for kind in kinds:
                tf.summary.write(f"kind/{kind.name}", tf.constant(step, kind), step, metadata)
            tf.summary.write("vector", tf.constant([1.0, 2.0]), step)
    rename(folder, 0)


def merged() -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    folder = fresh("merged")
    writer = EventFileWriter(str(folder))
    for step in range(10):
        values = [
            Summary.Value(tag=f"m{i:03}", simple_value=step + i / 300) for i in range(300)
        ]  # more than are taken apart together
        values.append(Summary.Value(tag="unpacked", tensor=TensorProto(dtype=3, int_val=[-step])))
        values.append(Summary.Value(tag="half", tensor=TensorProto(dtype=19, half_val=[0x3C00 + step])))
        writer.add_event(Event(wall_time=1.7e9 + step, step=step - 2, summary=Summary(value=values)))
    writer.close()
    rename(folder, 0)


def golden() -> None:
    """Tag to [step, number] for each file; non-finite numbers as their names."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorflow import make_ndarray

    found: dict[str, Any] = {}
    for file in sorted(HERE.rglob("*tfevents*")):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0, "tensors": 0}, purge_orphaned_data=False)
        events.Reload()
        tags: dict[str, list[Any]] = {}
        for tag in events.Tags()["scalars"]:
            tags[tag] = [[event.step, _spelt(event.value)] for event in events.Scalars(tag)]
        for tag in events.Tags()["tensors"]:
            tensors = [event for event in events.Tensors(tag) if event.tensor_proto.dtype]  # not metadata alone
            numbers = [(event.step, make_ndarray(event.tensor_proto)) for event in tensors]
            if numbers and all(array.shape == () and array.dtype != object for _, array in numbers):
                tags[tag] = [[step, _spelt(float(array))] for step, array in numbers]
        found[str(file.relative_to(HERE))] = tags
    (HERE / "golden.json").write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")


def _spelt(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


if __name__ == "__main__":
    for writer in sys.argv[1:]:
        globals()[writer]()
