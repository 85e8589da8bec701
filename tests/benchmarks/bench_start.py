"""Wall time of `autotune --help` and `autotune --version`: best and median of 20 starts. Budget: 0.15 s."""

import statistics
import subprocess
import sys
import time


def main() -> None:
    for argument in ("--help", "--version"):
        seconds = []
        for _ in range(20):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-m", "autotune", argument], stdout=subprocess.DEVNULL, check=True)
            seconds.append(time.perf_counter() - begin)
        print(f"autotune {argument}: best {min(seconds):.3f} s, median {statistics.median(seconds):.3f} s")


if __name__ == "__main__":
    main()
