"""Ways in which logs are damaged, or made to do harm: each takes the bytes of a log and gives others."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import samples

DEEP = 100_000  # brackets
LONG = 10_000_000  # bytes of a line
# Names and texts that try to leave the folder, to move the cursor, to be run, or to be markup.
HOSTILE = (
    "../../etc/passwd", "/etc/shadow", "C:\\Windows\\x", "a\x1b[2J\x1b[31mred", "\x1b]0;title\x07", "bell\x07\x08\x7f",
    "\x9b31m", "[bold red]markup[/]", "[link=file:///etc/passwd]x[/link]", "nul\x00nul", "\u202ertl\u202c",
    "line\nbreak", "carriage\rreturn", "tab\there", "\u2028para\u2029", "__class__.__mro__", "{0.__class__}",
    "%s%n%1000000d", "$(touch pwned)", "`touch pwned`", "__import__('os').system('touch pwned')", "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>", "</td></table>", "a,b;c|d", 'quo"te', "apo'strophe", "back\\slash", "  ", "", ".",
    "..", "é" * 300, "名" * 2000, "\U0001f600", "e\u0301", "\ufeff", "nan", "1e5", "-0", "true", "_step", "step ",
    "Step", "n" * 100_000, "a.b.c", "a/b", "reward_component_mean[x]", "kl.reference.unknown.token",
)  # fmt: skip
NUMBERS = (
    b"1e999", b"-1e999", b"1e-999", b"9" * 5000, b"-" + b"9" * 400, b"0." + b"0" * 4000 + b"1", b"1e" + b"9" * 300,
    b"NaN", b"-Infinity", b"nan", b"null", b"true", b'""', b'"abc"', b"0x1F", b"1_000", b"1,5", b"1.2.3", b"--1",
    b"+1", b"9007199254740993", b"9223372036854775808", b"18446744073709551616", b"-9223372036854775809",
    b"1.7976931348623157e308", b"-1.7976931348623157e308", b"5e-324", b"-0.0", "١٢٣".encode(), b"1e5000000000",
    b"[1,2]", b'{"a":1}', b"",
)  # fmt: skip
BRACKETS = ((b"[", b"]"), (b'{"a":', b"}"), (b"{'a':", b"}"), (b"(", b")"), (b"<table><tr>", b""))
FILLING = (b"x", b"9", b" ", b"'", b'"', b"{'", b"loss: 1 ", b"a=", b",", b"[", b"<", b"\r", b"\x1b[", b"%|", b"-")
_NUMBER = re.compile(rb"-?\d+\.\d+(?:[eE][+-]?\d+)?")
Mutation = Callable[[bytes, random.Random], bytes]


# ---- damage: something was lost on the way


def cut(data: bytes, draw: random.Random) -> bytes:
    """The end is missing."""
    return data[: draw.randrange(len(data))]


def beheaded(data: bytes, draw: random.Random) -> bytes:
    """The beginning is missing."""
    return data[draw.randrange(len(data)) :]


def flipped_bits(data: bytes, draw: random.Random) -> bytes:
    """Some bits are others."""
    made = bytearray(data)
    for _ in range(draw.choice((1, 1, 10, 100))):
        made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
    return bytes(made)


def other_bytes(data: bytes, draw: random.Random) -> bytes:
    """Some bytes are others."""
    made = bytearray(data)
    for _ in range(draw.choice((1, 3, 30, 300))):
        made[draw.randrange(len(made))] = draw.randrange(256)
    return bytes(made)


def zeros(data: bytes, draw: random.Random) -> bytes:
    """A stretch is zeros, as after a crash, or to the end."""
    begin = draw.randrange(len(data))
    end = len(data) if draw.random() < 0.3 else min(len(data), begin + draw.choice((1, 16, 512, 4096)))
    return data[:begin] + bytes(end - begin) + data[end:]


def hole(data: bytes, draw: random.Random) -> bytes:
    """A stretch is missing."""
    begin = draw.randrange(len(data))
    return data[:begin] + data[begin + draw.choice((1, 16, 512, 4096)) :]


def garbage(data: bytes, draw: random.Random) -> bytes:
    """Random bytes in the middle, or behind a head that is whole."""
    begin = draw.randrange(len(data))
    noise = draw.randbytes(draw.choice((1, 64, 5000)))
    return data[:begin] + noise + (data[begin:] if draw.random() < 0.6 else b"")


def repeated(data: bytes, draw: random.Random) -> bytes:
    """A stretch is there twice."""
    begin = draw.randrange(len(data))
    end = min(len(data), begin + draw.choice((10, 1000, len(data))))
    return data[:end] + data[begin:]


# ---- oddities: the same, in another way, or with something harmful in it


def utf16(data: bytes, draw: random.Random) -> bytes:
    """UTF-16, as Windows' shell writes it, with a byte order mark or without."""
    return data.decode("latin-1").encode(draw.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32")))


def latin1(data: bytes, draw: random.Random) -> bytes:
    """Letters in an encoding that is not UTF-8."""
    return data.replace(b"my_own", "grüße".encode("latin-1")).replace(b"kl", b"\xed\xa0\x80kl\xff")


def marked(data: bytes, draw: random.Random) -> bytes:
    """A byte order mark in front, or several."""
    return b"\xef\xbb\xbf" * draw.choice((1, 2)) + data


def line_ends(data: bytes, draw: random.Random) -> bytes:
    """Lines end in another way."""
    return data.replace(b"\n", draw.choice((b"\r\n", b"\r", b"\n\n", b"\r\r\n", b"\x0b", b"")))


def numbers(data: bytes, draw: random.Random) -> bytes:
    """Numbers are giant, tiny, or none."""
    places = list(_NUMBER.finditer(data))
    for match in sorted(draw.sample(places, min(len(places), draw.choice((1, 5, 50)))), key=lambda m: -m.start()):
        data = data[: match.start()] + draw.choice(NUMBERS) + data[match.end() :]
    return data


def nested(data: bytes, draw: random.Random) -> bytes:
    """Brackets within brackets where a number stood, or before everything, or behind it."""
    opening, closing = draw.choice(
        ((b"[", b"]"), (b'{"a":', b"}"), (b"{'a':", b"}"), (b"(", b")"), (b"<table><tr>", b""))
    )
    depth = draw.choice((50, 1000, DEEP))
    deep = opening * depth + b"1" + (closing * depth if draw.random() < 0.5 else b"")
    places = [match.span() for match in _NUMBER.finditer(data)] or [(0, 0)]
    begin, end = draw.choice([(0, 0), (len(data), len(data)), draw.choice(places)])
    return data[:begin] + deep + data[end:]


def long_line(data: bytes, draw: random.Random) -> bytes:
    """Megabytes without the end of a line."""
    line_end = data.find(b"\n", draw.randrange(len(data))) + 1
    what = draw.choice(
        (b"x", b"9", b" ", b"'", b'"', b"{'", b"loss: 1 ", b"a=", b",", b"[", b"<", b"\r", b"\x1b[", b"%|", b"-")
    )
    size = LONG if draw.random() < 0.1 else LONG // 50
    return data[:line_end] + what * (size // len(what)) + draw.choice((b"", b"\n")) + data[line_end:]


def doubled_keys(data: bytes, draw: random.Random) -> bytes:
    """Two names are the same."""
    a, b = draw.sample((b"reward_std", b"entropy", b"grad_norm", b"reward", b"kl", b"loss"), 2)
    return data.replace(a, b)


def names(data: bytes, draw: random.Random) -> bytes:
    """A name of another length; where lengths are told, they are wrong then."""
    old = draw.choice((b"my_own_score", b"reward", b"kl", b"step", b"learning_rate", b"run1", b"log_history", b"cells"))
    return data.replace(old, draw.choice(HOSTILE).encode("utf-8", "surrogatepass"), draw.choice((1, -1)))


DAMAGE: tuple[Mutation, ...] = (cut, beheaded, flipped_bits, other_bytes, zeros, hole, garbage, repeated)
ODDITIES: tuple[Mutation, ...] = (
    utf16, latin1, marked, line_ends, numbers, nested, long_line, doubled_keys, names,
)  # fmt: skip


# ---- logs that are whole in their framing, with something harmful in it


def hostile(format: str, draw: random.Random) -> bytes:
    """A log that was written so."""
    rows = samples.run(seed=draw.randrange(100))
    many = draw.choice((10, 10, 10, 500 if format != "tensorboard" else 50))  # whose checksums are made in Python
    match draw.randrange(4):
        case 0:  # names
            bad = [*draw.sample(HOSTILE, 5), "lone \ud800 surrogate"]
            rows = [row | {f"{name}{i if i > 2 else ''}": step * 0.5 for i, name in enumerate(bad)}
                    for step, row in enumerate(rows)]  # fmt: skip
        case 1:  # thousands of names
            rows = [row | {f"name {step} {i}": 1.0 for i in range(many)} for step, row in enumerate(rows)]
        case 2:  # numbers
            extreme = (1.7e308, -1.7e308, 5e-324, -0.0, float("nan"), float("inf"), -float("inf"), 1e30, 2.0**53)
            float32 = (3e38, -3e38, 1e-45, *extreme[3:])
            for row in rows:
                for name in row:
                    if name != samples.STEP and draw.random() < 0.3:
                        row[name] = draw.choice(float32 if format == "tensorboard" else extreme)
        case _:  # steps
            for row in rows:
                if draw.random() < 0.3:
                    row[samples.STEP] = draw.choice((0, 1, 5, 2**53, 2**63 - 1, 10**9))
    if format == "wandb" and draw.random() < 0.5:
        return samples.wandb(rows, mangle=_mangler(draw))
    if format == "tensorboard" and draw.random() < 0.5:
        return samples.tensorboard(rows, mangle=_mangler(draw))
    return samples.WRITERS[format][1](rows)


def _mangler(draw: random.Random) -> Callable[[bytes], bytes]:
    """Damages some records before their checksum is made."""
    mutations = draw.choices((*DAMAGE, numbers, doubled_keys, names, nested), k=3)
    share = draw.choice((0.02, 0.3))

    def mangle(payload: bytes) -> bytes:
        return draw.choice(mutations)(payload, draw)[: 1 << 20] if draw.random() < share and payload else payload

    return mangle


def interleaved(one: bytes, other: bytes, draw: random.Random) -> bytes:
    """Two writers in one file: in turns of so many bytes, or of lines."""
    if draw.random() < 0.5:
        a, b = one.splitlines(keepends=True), other.splitlines(keepends=True)
        return b"".join(line for pair in zip(a, b, strict=False) for line in pair)
    size = draw.choice((100, 512, 4096))
    turns = range(0, max(len(one), len(other)), size)
    return b"".join(one[i : i + size] + other[i : i + size] for i in turns)
