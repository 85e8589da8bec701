"""The page of a run of 100,000 steps x 30 metrics: its size, and how long Chromium takes to show it and to zoom.

Budgets: 1.5 MB; 1 s until it can be used, 0.1 s for a zoom. Without a browser only the size is measured; `CHROMIUM` is
where it lies if it has another name.
"""

import sys
import tempfile
import time
from pathlib import Path

from diagnostics.details import details
from diagnostics.engine import diagnose
from diagnostics.logs import read
from diagnostics.report import html
from diagnostics.sources import Source

HERE = Path(__file__).parent
ROUNDS = 5
ZOOM = """(() => {
  const figure = document.querySelector("figure.drawn"), began = performance.now();
  figure.querySelector("button").click();
  figure.querySelector("svg").getBoundingClientRect();
  return performance.now() - began;
})()"""
OPEN = """(async () => {
  document.querySelector(".metrics").open = true;
  const one = document.querySelector(".metrics details");
  one.open = true;
  one.scrollIntoView();
  while (!one.querySelector("figure.drawn")) await new Promise(requestAnimationFrame);
})()"""


def main() -> None:
    """Write the run, make its page, and show it."""
    sys.path += [str(HERE), str(HERE.parent / "browser")]
    import bench_diagnose
    from chromium import browser, program

    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        bench_diagnose.write(here)
        source = Source("events", (here,), "", "bench")
        runs = read(source)
        report = diagnose(runs)
        began = time.perf_counter()
        page = html.render([report], [details(runs, source, [])])
        made = time.perf_counter() - began
        file = here / "page.html"
        file.write_text(page, encoding="ascii")
        print(f"{bench_diagnose.STEPS} steps x {len(bench_diagnose.METRICS)} metrics: page of {len(page) / 1e6:.2f} MB")
        print(f"made in {made:.2f} s, of curves that were read already")
        found = program()
        if found is None:
            print("no Chromium here: not shown")
            return
        with browser(found) as tab:
            for _ in range(ROUNDS):
                began = time.perf_counter()
                tab.open(file)
                tab.settle()
                shown = time.perf_counter() - began
                tab.run(OPEN)
                paint = tab.run("Math.round(performance.getEntriesByName('first-contentful-paint')[0]?.startTime)")
                ready = tab.run("Number(document.documentElement.dataset.ready)")
                zoom = tab.run(ZOOM)
                print(f"first paint {paint} ms, interactive {ready} ms, all {shown * 1e3:.0f} ms, zoom {zoom:.1f} ms")


if __name__ == "__main__":
    main()
