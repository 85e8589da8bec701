"""Records the databases of older versions of trackio: python tests/data/record_trackio.py ENVIRONMENTS [VERSION...]

Each version gets an environment of its own in the folder ENVIRONMENTS, where one that is there already is used again,
and runs `log_trackio.py` in it. Kept is `trackio/VERSION.db`. Tests have the newest version itself.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
KEPT = HERE / "trackio"
# Both know a run by its name alone; the older one keeps metrics as text. What they need beside them.
VERSIONS = {"0.4.1": (), "0.20.2": ("huggingface_hub<1",)}


def record(version: str, environments: Path) -> None:
    """Keep what `version` writes."""
    python = environments / version / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environments / version], check=True)
        packages = [f"trackio=={version}", *VERSIONS[version]]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    with TemporaryDirectory() as folder:
        home = {"HOME": folder, "PATH": os.environ["PATH"], "HF_HUB_OFFLINE": "1"}  # nothing of who records and where
        command = [python, "-P", HERE / "log_trackio.py", "My project"]
        subprocess.run(command, check=True, cwd=folder, env=home, timeout=300, input=b"\n")
        (file,) = Path(folder).rglob("*.db")
        data = file.read_bytes()
        for private in (folder, str(environments), str(HERE), socket.gethostname(), str(Path.home())):
            if private.encode() in data:
                raise SystemExit(f"the database of {version} names {private}")
    KEPT.mkdir(exist_ok=True)
    (KEPT / f"{version}.db").write_bytes(data)
    print(version, f"{len(data):,} bytes", flush=True)


if __name__ == "__main__":
    for wanted in sys.argv[2:] or VERSIONS:
        record(wanted, Path(sys.argv[1]))
