"""Single numbers and texts in the tensors of TensorFlow, as summaries of TF 2 hold them.

https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/tensor.proto
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from diagnostics.readers.protobuf import FIXED32, FIXED64, LENGTH, VARINT, fields, varint

# Element types of a TensorProto that are numbers, and the fields of those that are not in its `tensor_content`.
_DTYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "u1",
    5: "<i2",
    6: "i1",
    9: "<i8",
    17: "<u2",
    19: "<f2",
    22: "<u4",
    23: "<u8",
}
_BFLOAT16, _HALF, _STRING = 14, 19, 7
_FLOAT_VAL, _DOUBLE_VAL, _STRING_VAL, _HALF_VAL = 5, 6, 8, 13
_INTEGERS = {7, 10, 11, 16, 17}  # int_val, int64_val, bool_val, uint32_val, uint64_val


def element(raw: bytes, start: int, end: int) -> float | bytes | None:
    """The one number or text that a TensorProto holds, None where it holds several, none, or something else."""
    dtype, elements, content, values = 0, 1, None, []
    for field, wire, value in fields(raw, start, end):
        if (field, wire) == (1, VARINT):
            dtype = value
        elif (field, wire) == (2, LENGTH):
            elements = _elements(raw, *value)
        elif (field, wire) == (4, LENGTH):
            content = raw[slice(*value)]
        elif field in (_FLOAT_VAL, _DOUBLE_VAL, _STRING_VAL, _HALF_VAL, *_INTEGERS):
            values.append((field, wire, value))
    if elements != 1:
        return None
    if content:
        return _content(dtype, content)
    return _listed(raw, dtype, *values[0]) if len(values) == 1 else None


def _elements(raw: bytes, start: int, end: int) -> int:
    """How many elements a TensorShapeProto has."""
    elements = 1
    for field, wire, value in fields(raw, start, end):
        if (field, wire) == (2, LENGTH):
            sizes = [size for inner, kind, size in fields(raw, *value) if (inner, kind) == (1, VARINT)]
            elements *= sizes[0] if sizes else 0
    return elements


def _content(dtype: int, content: bytes) -> float | None:
    if dtype == _BFLOAT16 and len(content) == 2:
        return float(struct.unpack("<f", b"\0\0" + content)[0])
    width = np.dtype(_DTYPES[dtype]).itemsize if dtype in _DTYPES else 0
    return float(np.frombuffer(content, _DTYPES[dtype])[0]) if width == len(content) else None


def _listed(raw: bytes, dtype: int, field: int, wire: int, value: Any) -> float | bytes | None:
    """The one element in a field such as `float_val`, packed (a length and the elements) or not."""
    if field == _STRING_VAL:
        return raw[slice(*value)] if wire == LENGTH and dtype == _STRING else None
    if field in (_FLOAT_VAL, _DOUBLE_VAL):
        width, form = (4, "<f") if field == _FLOAT_VAL else (8, "<d")
        if wire == LENGTH and value[1] - value[0] == width:
            value = value[0]
        elif wire != (FIXED32 if field == _FLOAT_VAL else FIXED64):
            return None
        return float(struct.unpack_from(form, raw, value)[0])
    if wire == LENGTH:
        integer, after = varint(raw, *value)
        if after != value[1]:
            return None
    elif wire == VARINT:
        integer = value
    else:
        return None
    if field == _HALF_VAL:  # the bits of a half or a bfloat16
        return _content(dtype if dtype == _BFLOAT16 else _HALF, (integer & 0xFFFF).to_bytes(2, "little"))
    return float(integer if field in (16, 17) else integer - (integer >> 63 << 64))
