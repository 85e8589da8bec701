"""Lines of a console that hold numbers, one function per way of writing them.

The formats are those of the sources of transformers 5, TRL 1.16, verl 0.9, OpenRLHF 0.11, SkyRL 0.3, NeMo-RL, prime-rl,
torchtune 0.6, Stable-Baselines3 2.9, CleanRL and DeepSpeed-Chat, and those of people who print by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from diagnostics.assembly import STEP_NAMES
from diagnostics.readers.table import number

Values = dict[str, Any]

LONGEST_LEAD = 100  # characters before a dict or a field that may say whose it is
LONGEST_LINE = 4000  # characters of a line of fields; verl's are told by their beginning

# Colours, also where the escape character itself was lost on the way.
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\^_]|\[\d{1,3}(?:;\d{1,3})*m")
_PROCESS = re.compile(r"\((?:[\w.:<>-]+ )?(?:pid|ip)=[^()\n]{0,80}\) ?|\[(?:rank|default|Rank )\d+\]: ?")
_REPEATED = re.compile(r" \[repeated \d+x across cluster\].*$")
_LOGGER = re.compile(
    r"\[?\d{1,2}/\d{1,2}/\d{4} \d\d:\d\d:\d\d\]?|(?:__main__|root)(?=[\s:|])|\[(?:__main__|root)\]"
    r"|\[?\d{4}[-/]\d\d[-/]\d\d[T ,]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?\]?"
    r"|\[?(?:\d\d-\d\d )?\d\d:\d\d:\d\d(?:[.,]\d+)?\]?"
    r"|\[?(?:DEBUG|INFO|SUCCESS|WARNING|ERROR)\]?(?=[\s:|\]]|$)"
    r"|\[?[\w/.-]+\.py:\d+(?::\w+)?\]?|[\w.]+:[\w<>.]+:\d+(?= -)|-(?= )|[|:\]\s]"
)
_BAR = re.compile(
    r"\r?(?:[\w \[\]/.,()-]{0,60}[\w\])]: ?)? {0,3}"  # what it counts
    r"\d{1,3}%\|[^|\r\n]{0,300}\| *([\d.]+)[kM]?/([\d.]+)[kM]? *\[([^\]\r\n]{0,300})\]\r?"
)

_NUMBER = (
    r"[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:[nN]a[nN]|[iI]nf(?:inity)?)"
)
_PLAIN = r"[-+]?[\w.]+(?:(?<=[eE])[-+]\d+)?"
# np.float64(1.0), tensor(1., device='cuda:0')
_VALUE = rf"(?:[\w.]+\(\s*({_PLAIN})(?:\s?,[^(){{}}]{{0,80}})?\)|({_PLAIN}))"
_WHOLE_VALUE = re.compile(_VALUE)
_ITEM = re.compile(
    r"\s*(?:'([^'\\\n]{1,200})'|\"([^\"\\\n]{1,200})\")\s*:\s*"
    rf"(?:'([^'\\]*)'|\"([^\"\\]*)\"|\[[^\[\]{{}}]*\]|{_VALUE})\s*([,}}])"
)
_HEADING = re.compile(
    r"[^\w{}()'\"]*(?:global[_ ]step|(?:training )?step|iteration|iter|update)\s*[:#]?\s*(\d{1,12})(?: ?/ ?\d+)?"
    r"[^\w{}()'\"]*",
    re.I,
)
_LEAD_STEP = re.compile(
    r"\b((?:global[_ ])?step|iter(?:ation)?|update|rollout|episode|epoch)s?\s*[:=#]?\s*\[?(\d{1,12})\b", re.I
)

_UNIT = r"(%|\s?[A-Za-zµ][A-Za-z/.]*(?=\s*(?:[|,;()\]]|$| - )))?"
_AFTER = rf"(?:\s*/\s*[\d.,]+)?(?:\s?±\s?[\d.eE+-]+)?{_UNIT}(?:\s*\([^()]{{0,60}}\))?"  # 1/8 ± 0.1 GiB (12 %)
_PLACE = re.compile(r"([A-Za-z_]\w*)\s*[:=]?\s*\[(\d{1,12})/(\d{1,12})\](?:\s*\((\d{1,12})/(\d{1,12})\))?")
_WORD = re.compile(rf"([A-Za-z_][\w./]*)\s+#?({_NUMBER})(?=[\s|,;/%\])]|:(?!\d)|$){_AFTER}")
_FIELD = re.compile(
    rf"([A-Za-z_][\w./@()\[\]%+*#&' -]{{0,80}}?)\s*[:=]{{1,2}}\s*\[?\s*({_NUMBER})(?![\d.]*[:-]\d)\s*\]?{_AFTER}"
)
_TEXT = re.compile(r"[A-Za-z_][\w./ -]{0,40}?(?:\s*[:=]\s*[\w./:@<?-]{1,60}|\s+\d+:\d\d(?::\d\d)?)(?=\s*(?:[|,;\]]|$))")
_FOREIGN = re.compile(r"[\"`$\\^{}]|\w\(\w+=|[=+*/<>] ?[=+*/<>]")  # quotes, formulas, code
_PAIR = re.compile(r"[A-Za-z_)\]](?: *[:=]+ *| +)[\[#]?[-+]?(?:\d|\.\d|[nN]a[nN]|[iI]nf)|[:=]\[\d")
_BETWEEN = re.compile(r"(?:[^\w{}\"'`$\\=+*^<>\-]|-(?=[\s-]|$)|->|=>)+")
_LEAD_WORD = re.compile(r"[A-Za-z][\w-]*(?![\w(.])")
_HELD_OUT = {"eval", "evaluation", "val", "valid", "validation", "test"}
_METRIC = re.compile(
    r"loss|reward|return|entropy|learning|grad|score|perplexity|clip|success|(?<![a-z])(?:kl|lr|acc|ppl|adv|len|win)",
    re.I,
)


def clean(line: str) -> tuple[str, str]:
    """A line without colours and the mark of the process that Ray or torchrun put before it, and that mark."""
    if "\x1b" in line or "m" in line:
        line = _ANSI.sub("", line)
    mark = ""
    while found := _PROCESS.match(line):
        mark += found[0]
        line = line[found.end() :]
    if "[repeated" in line:
        line = _REPEATED.sub("", line)
    return line, mark


def unlogged(text: str) -> str:
    """A line without the time, level and place that a logger put before it."""
    at = 0
    while found := _LOGGER.match(text, at):
        at = found.end()
    return text[at:]


def bars(line: str) -> tuple[str, list[tuple[float, str]]]:
    """A line without the progress bars of tqdm in it, which may split a text, and of each how far it is and its end."""
    if "%|" not in line:
        return line, []
    found: list[tuple[float, str]] = []

    def take(match: re.Match[str]) -> str:
        position = number(match[1])
        found.append((position if position is not None else 0.0, match[3]))
        return ""

    return _BAR.sub(take, line), found


def postfix(text: str) -> Values:
    """The numbers behind the speed in a bar: `00:10<05:00, 1.0it/s, reward=0.3, kl=0.01`."""
    fields = (part.partition("=") for part in text.split(", ")[1:])
    return {name.strip(): value for name, _, value in fields if number(value) is not None}


def dicts(text: str) -> list[tuple[str, Values]]:
    """The dicts of numbers in a line, as Python or JSON writes them, each with the text before it.

    None at all where the line holds anything else: what stands inside of a sentence or of code is no row.
    """
    found = []
    at = 0
    while (begin := _opening(text, at)) >= 0:
        lead = text[at:begin].strip()
        values, at = _items(text, begin)
        if values is None or len(lead) > LONGEST_LEAD or "{" in lead or lead.endswith(("=", "(", "[", ",", "return")):
            return []
        found.append((lead, values))
    return [] if text[at:].strip(" \t.") else [(lead, values) for lead, values in found if _numeric(values)]


def _opening(text: str, at: int) -> int:
    """Where the next dict begins, -1 for nowhere."""
    places = [place for place in (text.find("{'", at), text.find('{"', at)) if place >= 0]
    return min(places, default=-1)


def _items(text: str, begin: int) -> tuple[Values | None, int]:
    """The entries of the dict that begins at `begin`, None where it is not one of plain values, and where it ends."""
    values: Values = {}
    at = begin + 1
    while item := _ITEM.match(text, at):
        values[item[1] or item[2]] = next((value for value in item.groups()[2:6] if value is not None), None)
        at = item.end()
        if item[7] == "}":
            return values, at
    return None, at


def _numeric(values: Mapping[str, Any]) -> bool:
    numbers = sum(number(value) is not None for value in values.values())
    return numbers >= 2 and 2 * numbers >= len(values)


def heading(text: str) -> Values:
    """The step that a line says, and nothing else: `=== Step 10/100 ===`, `Iteration 5:`."""
    found = _HEADING.fullmatch(text.strip()) if len(text) < LONGEST_LEAD else None
    return {"step": found[1]} if found else {}


def lead_step(lead: str) -> Values:
    """The step that the text before a dict says: `Global step 12: ` as {"global_step": 12}."""
    found = _LEAD_STEP.search(lead)
    return {found[1].lower().replace(" ", "_"): found[2]} if found else {}


def verl(text: str) -> tuple[Values, int] | None:
    """verl's `step:1 - actor/entropy:0.5 - ...`, and how many of its fields are no numbers; None for other lines."""
    if not text.startswith("step:") or " - " not in text:
        return None
    values, bad = {}, 0
    for field in text.split(" - "):
        name, _, value = field.strip().rpartition(":")
        found = _WHOLE_VALUE.fullmatch(value)
        spelt = (found[1] or found[2]) if found else ""
        if name and len(name) <= 200 and number(spelt) is not None:
            values[name] = spelt
        else:
            bad += 1
    return (values, bad) if "step" in values and len(values) > max(1, bad) else None


def fields(text: str, *, least: int = 2) -> Values:
    """Names and numbers where a line has nothing else: `step 10 | loss: 0.3, lr=1e-5`; {} for other lines.

    {} also where they are fewer than `least`.

    A percentage is a share of 1. `Epoch:[2/3](4/500)` is the step 504 where an epoch has 500. Where the line begins
    with a word for held-out data, that word stands before its names.
    """
    if len(text) > LONGEST_LINE or _FOREIGN.search(text) or len(_PAIR.findall(text)) < least:
        return {}
    text = " ".join(text.split())
    values: Values = {}
    at, words, prefix = 0, 0, ""
    while at < len(text):
        if found := _BETWEEN.match(text, at):
            at = found.end()
            continue
        if found := _PLACE.match(text, at):
            values[found[1]] = found[2]
            if found[4]:
                values["step"] = str((int(found[2]) - 1) * int(found[5]) + int(found[4]))
        elif found := _WORD.match(text, at) or _FIELD.match(text, at):
            name = found[1].strip()
            spelt = found[2].replace(",", "")
            if found[3] == "%":
                spelt = repr((number(spelt) or 0.0) / 100)
            if name in values:
                return {}
            values[name] = spelt
        elif found := _TEXT.match(text, at):
            pass
        elif not values and words < 3 and (found := _LEAD_WORD.match(text, at)):
            words += 1
            prefix = f"{found[0]}/" if found[0].lower() in _HELD_OUT else prefix
        else:
            return {}
        at = found.end()
    if prefix:
        values = {name if name.lower() in STEP_NAMES else prefix + name: value for name, value in values.items()}
    return values if len(values) >= least else {}


def position(values: Mapping[str, Any]) -> str:
    """The name under which a row says its step, "" where it does not."""
    lower = {name.lower(): name for name in values}
    return next((lower[name] for name in STEP_NAMES if name in lower), "")


def measures(values: Mapping[str, Any]) -> bool:
    """Whether a name sounds like a measurement of training, which `x = 3, y = 4` in a sample does not."""
    return any(_METRIC.search(name) for name in values if name.lower() not in STEP_NAMES)
