"""Records the run files of many versions of wandb: python tests/data/record_wandb.py ENVIRONMENTS [VERSION...]

Each version gets an environment of its own in the folder ENVIRONMENTS, where one that is there already is used again,
and runs `log_wandb.py` in it. Kept are `wandb/VERSION.wandb` and what was logged, which is the same for all. wandb 0.31
also writes values with types, and the run once more, resumed.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
KEPT = HERE / "wandb"
# The newest of each kind of file, and what the older ones need beside them.
VERSIONS = {
    "0.12.21": ("numpy<2", "setuptools<70", "protobuf<5"),
    "0.13.11": ("numpy<2", "setuptools<70", "protobuf<5"),
    "0.16.6": ("numpy<2", "setuptools<70", "protobuf<5"),
    "0.18.7": ("numpy",),
    "0.22.3": ("numpy",),
    "0.28.0": ("numpy",),
    "0.31.0": ("numpy",),
}
KINDS = {"0.31.0": ("plain", "typed", "resumed")}


def record(version: str, environments: Path) -> None:
    """Keep what `version` writes."""
    python = environments / version / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environments / version], check=True)
        packages = [f"wandb=={version}", *VERSIONS[version]]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    for kind in KINDS.get(version, ("plain",)):
        with TemporaryDirectory() as folder:
            home = {"HOME": folder, "PATH": os.environ["PATH"]}  # nothing else of who records and where
            subprocess.run(
                [python, "-P", HERE / "log_wandb.py", folder, kind], check=True, cwd=folder, env=home, timeout=300
            )
            (file,) = (path for path in Path(folder).rglob("*.wandb") if not path.parent.is_symlink())
            data = file.read_bytes()
            told = json.loads((Path(folder) / "logged.json").read_text(encoding="utf-8"))
            for private in (folder, str(environments), str(HERE), socket.gethostname(), str(Path.home())):
                if private.encode() in data:
                    raise SystemExit(f"the file of {version} names {private}")
        KEPT.mkdir(exist_ok=True)
        suffix = "" if kind == "plain" else f"-{kind}"
        (KEPT / f"{version}{suffix}.wandb").write_bytes(data)
        told.pop("wandb")
        text = "\n".join(["{", *(f'"{name}": {json.dumps(told[name])},' for name in ("config", "exit")), '"rows": ['])
        text += "\n" + ",\n".join(map(json.dumps, told["rows"])) + "\n]}\n"
        (KEPT / f"logged{'-resumed' if kind == 'resumed' else ''}.json").write_text(text, encoding="utf-8")
        print(version, kind, f"{len(data):,} bytes", flush=True)


if __name__ == "__main__":
    for chosen in sys.argv[2:] or VERSIONS:
        record(chosen, Path(sys.argv[1]).resolve())
