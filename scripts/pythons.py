"""``make pythons``: the tests that need nothing but Python, with every supported Python that this machine has.

Each gets a virtual environment of its own in .venvs/, which the next run finds again. ``--oldest`` takes the oldest
alone, and nothing if that is the one of .venv, whose tests run anyway.
"""

# ruff: noqa: S603, T201

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST, NEWEST = (3, 11), (3, 13)
NAMES = [f"python{major}.{minor}" for major, minor in ((3, 11), (3, 12), (3, 13))] + ["python3"]
Version = tuple[int, ...]


def version_of(program: Path) -> Version | None:
    """``(3, 11, 2)``; None if it does not run, or cannot make virtual environments."""
    asks = "import ensurepip, sys, venv; print(*sys.version_info[:3])"
    try:
        done = subprocess.run([program, "-c", asks], capture_output=True, text=True, check=False, cwd="/")
    except OSError:
        return None
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None


def found(path: str, pyenv: Path) -> dict[Version, Path]:
    """Every supported Python, by its full version: those on the search path, and pyenv's."""
    folders = [Path(folder) for folder in path.split(os.pathsep) if folder]
    programs = [Path(hit) for folder in folders for name in NAMES if (hit := shutil.which(name, path=str(folder)))]
    programs += sorted(pyenv.glob("*/bin/python"))
    versions: dict[Version, Path] = {}
    for program in programs:
        version = version_of(program)
        if version is not None and OLDEST <= version[:2] <= NEWEST:
            versions.setdefault(version, program)
    return dict(sorted(versions.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oldest", action="store_true", help="only the oldest, unless .venv has it")
    oldest = parser.parse_args().oldest
    versions = found(os.environ["PATH"] + os.pathsep + "/usr/bin", Path.home() / ".pyenv/versions")
    if oldest:
        ours = version_of(ROOT / ".venv/bin/python")
        versions = {version: program for version, program in list(versions.items())[:1] if version != ours}
    failed = []
    for version, program in versions.items():
        name = ".".join(map(str, version))
        print(f"── Python {name} ({program})", flush=True)
        make = ["make", "--no-print-directory", f"VENV=.venvs/{name}", f"PYTHON={program}", "unit"]
        if subprocess.run(make, cwd=ROOT, check=False).returncode:
            failed.append(name)
    print(
        f"Pythons: {len(versions) - len(failed)} of {len(versions)} in order." if versions else "No other Python here."
    )
    if failed:
        print(f"Not in order: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
