"""What a worker does before it serves: gevent takes the place of what would wait; who listens is looked up once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.bridge import ROOT

PROGRAM = """
import json
from importlib import metadata

from app.serving.worker import Worker

looked, entry_points, distributions = [], metadata.entry_points, metadata.distributions
metadata.distributions = lambda: looked.append(True) or distributions()
worker = Worker.__new__(Worker)
worker.sockets = []
worker.patch()

import listener
from gevent import monkey

is_as_before = metadata.entry_points is entry_points
print(json.dumps([len(looked), listener.heard, monkey.is_module_patched("socket"), is_as_before]))
"""
LISTENER = """
heard = []


def hear(event):
    heard.append(type(event).__name__)
"""


def test_who_listens_to_gevents_patches_is_looked_up_once_and_hears_of_them(tmp_path: Path) -> None:
    (tmp_path / "listener.py").write_text(LISTENER)
    package = tmp_path / "listener-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: listener\nVersion: 1.0\n")
    moments = ("will_patch_all", "did_patch_all")
    groups = [f"[gevent.plugins.monkey.{moment}]\nany = listener:hear\n" for moment in moments]
    (package / "entry_points.txt").write_text("".join(groups))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1, ["GeventWillPatchAllEvent", "GeventDidPatchAllEvent"], True, True]
