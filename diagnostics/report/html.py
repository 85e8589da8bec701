"""Reports as one page of HTML that needs nothing else: no server, no network, no other file.

Everything from a log passes `escape`. Should something slip through all the same, the page's policy lets no script and
no style work but its own two, which it knows by their hashes, and lets nothing be fetched.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from types import MappingProxyType

from diagnostics.details import Details
from diagnostics.finding import Report
from diagnostics.report.digest import digest
from diagnostics.report.html_data import Curves, data
from diagnostics.report.html_run import badge, section
from diagnostics.report.survey import Line, State, Survey, survey
from diagnostics.text import count

MOST_RUNS = 100  # that have a section of their own
_COLUMNS = ("state", "run", "last step", "what is wrong", "since", "what to do")
_STATES = {State.UNREAD: "not read", State.UNCHECKED: "not checked", State.HEALTHY: "healthy"}


def render(
    reports: Sequence[Report],
    details: Sequence[Details],
    unread: Mapping[str, str] = MappingProxyType({}),
    *,
    verbose: bool = False,
) -> str:
    """The page, in ASCII: the sick runs first, and before several runs a table. `details` are those of `reports`."""
    seen = survey(reports, unread)
    several = len(seen.lines) > 1
    places = [line.place for line in seen.lines if line.place is not None][:MOST_RUNS]
    told = [digest(reports[place], verbose=verbose) for place in places]
    curves = [Curves.of(reports[place], details[place]) for place in places]
    title = seen.summary if several else f"{told[0].source}: {told[0].verdict.what}" if told else "No runs"
    body = [*(_overview(seen, places) if several else ())]
    for number, (one, place) in enumerate(zip(told, places, strict=True)):
        body += section(number, one, details[place], curves[number], heading=2 if several else 1)
    if len(reports) > MOST_RUNS:
        left = count(len(reports) - MOST_RUNS, "run")
        body.append(f"<p>{left} more, the least sick, would make this page too long: diagnose them by themselves.</p>")
    return _page(title, "\n".join(body), data(curves))


def _overview(seen: Survey, places: Sequence[int]) -> Iterator[str]:
    yield f"<header><h1>{escape(seen.summary)}</h1>"
    if seen.folder:
        yield f"<p class=quiet>below <code>{escape(seen.folder)}</code></p>"
    yield f"</header><table class=overview><thead><tr>{''.join(f'<th>{name}' for name in _COLUMNS)}</thead><tbody>"
    yield from (_row(line, places) for line in seen.lines)
    yield "</tbody></table>"


def _row(line: Line, places: Sequence[int]) -> str:
    state = badge(line.severity) if line.severity is not None else f"<span class=badge>{_STATES[line.state]}</span>"
    name = escape(line.source)
    if line.place in places:
        name = f'<a href="#run-{places.index(line.place)}">{name}</a>'
    what, since, do = line.why, "", ""
    if line.verdict is not None:
        what = f"{line.worst}: {line.verdict.what}" if line.state is State.SICK else line.verdict.what
        since, do = line.verdict.onset, line.verdict.remedy.what if line.verdict.remedy else ""
    cells = zip(_COLUMNS, (state, name, escape(line.steps), escape(what), escape(since), escape(do)), strict=True)
    return "<tr>" + "".join(f'<td data-name="{column}">{cell}' for column, cell in cells)


def _page(title: str, body: str, curves: str) -> str:
    style, script = (
        files("diagnostics.report").joinpath(name).read_text(encoding="ascii") for name in ("page.css", "page.js")
    )
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="autotune">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
<footer><p>Made by <code>autotune diagnose</code>; <code>autotune rules CODE</code> explains a code.</p>
<noscript><p>The curves need JavaScript; all else is here.</p></noscript></footer>
<script type="application/json" id="data">{curves}</script>
<script>{script}</script>
</body>
</html>
"""
    return page.encode("ascii", "xmlcharrefreplace").decode("ascii")


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode('ascii')).digest()).decode('ascii')}'"
