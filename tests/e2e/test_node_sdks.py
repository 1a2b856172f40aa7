"""The official Node SDKs against bridge and simulator; the tests themselves are in ``node/sdk.test.mjs``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.pictures import png_base64

FOLDER = Path(__file__).parent / "node"
_OFFLINE = re.compile(r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT")


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def wanted() -> dict[str, str]:
    versions: dict[str, str] = json.loads((FOLDER / "package.json").read_text("utf-8"))["dependencies"]
    return versions


def installed() -> dict[str, str]:
    found = {}
    for name in wanted():
        package = FOLDER / "node_modules" / name / "package.json"
        if package.exists():
            found[name] = json.loads(package.read_text("utf-8"))["version"]
    return found


@pytest.fixture(scope="module")
def node() -> str:
    """The node program, once the SDKs are in ``node_modules``."""
    found, npm = program("node"), program("npm")
    if installed() != wanted():
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=100)
        if done.returncode and _OFFLINE.search(done.stderr):
            pytest.skip("the npm registry cannot be reached")
        assert done.returncode == 0, done.stderr
    return found


def test_node_sdks(node: str, shared_bridge: Bridge, upstream: Simulator) -> None:
    env = {
        "PATH": os.environ["PATH"],
        "BRIDGE_URL": shared_bridge.url,
        "BRIDGE_KEY": shared_bridge.api_key,
        "PICTURE": png_base64(12, 7),
    }
    command = [node, "--test", "--test-reporter=tap", "sdk.test.mjs"]
    done = subprocess.run(command, cwd=FOLDER, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None
    assert int(passed[1]) >= 12


def test_the_lock_file_names_no_other_registry() -> None:
    text = (FOLDER / "package-lock.json").read_text("utf-8")
    assert set(re.findall(r"https?://([^/\"]+)/", text)) <= {"registry.npmjs.org"}
    locked = json.loads(text)["packages"]
    assert locked[""]["dependencies"] == wanted()
    assert all(package.get("integrity") for name, package in locked.items() if name)
