"""What each kind of restart costs whoever is connected, under load and behind the nginx of deploy/.

``make restart-table`` runs this and prints what was seen.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.simulator.client import Simulator
from tests.support.bridge import Bridge
from tests.support.nginx import NGINX, Nginx
from tests.support.secrets import API_KEY
from tests.support.visitors import Row, Visitors

pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc to tell workers apart"),
]

OTHER_KEY = "another-test-key-for-the-rotation"
BIRTH = "Booting worker"


@pytest.fixture(scope="module")
def table() -> Iterator[list[Row]]:
    rows: list[Row] = []
    yield rows
    print(f"\n{'restart':<52} {'probes lost':<12} {'streams':<34} log lines")
    for row in rows:
        print(row)


class Stage(Visitors):
    """A bridge behind nginx, with clients: probes one after the other, and streams that wait at a gate upstream."""

    def __init__(self, bridge: Bridge, nginx: Nginx, simulator: Simulator, env_file: Path) -> None:
        super().__init__(nginx.url)
        self.bridge = bridge
        self.nginx = nginx
        self.simulator = simulator
        self.env_file = env_file
        self.own: dict[str, str] = {}

    def write(self, **settings: str) -> None:
        """What the env file holds from now on, beside what it held at the start."""
        text = "".join(f"{name}='{value}'\n" for name, value in {**self.own, **settings}.items())
        # In one step, as an editor does it.
        self.env_file.with_suffix(".new").write_text(text)
        self.env_file.with_suffix(".new").replace(self.env_file)

    def as_before(self) -> None:
        """With the first settings again, and with new workers only."""
        self.key = API_KEY
        self.write()
        self.bridge.reload(until="exiting")

    def note_log(self, row: Row, *bridges: Bridge) -> None:
        """Which of the requests have no line in the log, or more than one. A line may come after the answer."""

        def missing() -> list[str]:
            return self.unlogged("\n".join(it.log for it in bridges))

        bridges[-1].wait_for(lambda _: not missing(), or_else=None)
        row.unlogged = missing()


def errors(bridge: Bridge) -> list[str]:
    return [line for line in bridge.log.splitlines() if '"level": "ERROR"' in line]


@pytest.fixture(scope="module")
def settings(simulator_process: Simulator) -> dict[str, str]:
    simulator_process.reset()
    return {
        **simulator_process.settings_env(),
        "GH_COPILOT_TOKEN": "ghu_test_unlimited",
        "GRACEFUL_TIMEOUT_S": "60",
        "LOG_LEVEL": "INFO",
    }


@contextmanager
def staged(settings: dict[str, str], folder: Path, simulator: Simulator, **how: Any) -> Iterator[Stage]:
    (folder / "nginx").mkdir()
    env_file = folder / "env"
    bridge = Bridge({**settings, "ENV_FILE": str(env_file)}, folder, **{"workers": 2, **how})
    nginx = Nginx(bridge, folder / "nginx")
    stage = Stage(bridge, nginx, simulator, env_file)
    # The environment would win over the file.
    stage.own = {name: bridge.env.pop(name) for name in ("API_KEY", "PORT", "GRACEFUL_TIMEOUT_S")}
    stage.write()
    with bridge, nginx:
        bridge.chat("token and model list")
        yield stage


@pytest.fixture(scope="module")
def stage(
    settings: dict[str, str], simulator_process: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    with staged(settings, tmp_path_factory.mktemp("stage"), simulator_process) as it:
        yield it


def test_reload_loses_no_request_and_cuts_no_stream(stage: Stage, table: list[Row]) -> None:
    row = Row("HUP")
    with stage.load(row, gate="hup"):
        stage.bridge.reload()
        stage.simulator.open_gate("hup")
    stage.note_log(row, stage.bridge)
    table.append(row)
    assert (row.lost, row.streams, row.unlogged) == ([], {"whole": 6}, [])
    assert errors(stage.bridge) == []


def test_setting_is_changed_by_a_reload_but_for_the_address(stage: Stage, table: list[Row]) -> None:
    """One of those changed is the grace, and the next reload shows it: it ends streams in the client's dialect."""
    before = stage.bridge.workers
    row, long = Row("setting change by HUP"), Row("HUP, streams longer than GRACEFUL_TIMEOUT_S")
    try:
        with stage.load(row, gate="setting"):
            stage.write(MODEL_MAPPING='{"my-model": "gpt-4.1"}', GRACEFUL_TIMEOUT_S="1", PORT="1")
            stage.bridge.reload()
            stage.simulator.open_gate("setting")
        stage.note_log(row, stage.bridge)
        # A connection that nginx keeps may still lead to one that leaves, for half a second.
        stage.bridge.wait_for(lambda log: all(f"exiting (pid: {pid})" in log for pid in before))
        assert stage.bridge.get("/admin/mapping").json() == {"my-model": "gpt-4.1"}
        read = stage.bridge.log_line('"settings are read anew"', '"MODEL_MAPPING"')
        assert read["changed"] == ["GRACEFUL_TIMEOUT_S", "MODEL_MAPPING"]
        assert stage.bridge.log_line("with a restart only")["settings"] == ["PORT"]
        with stage.load(long, gate="long"):
            stage.bridge.reload()
        stage.note_log(long, stage.bridge)
    finally:
        stage.as_before()
    table += [row, long]
    assert (row.lost, row.streams, row.unlogged) == ([], {"whole": 6}, [])
    assert (long.lost, long.streams, long.unlogged) == ([], {"told to try again": 6}, [])
    lines = [stage.bridge.request_line(it) for it in stage.ids if it.startswith("stream")]
    assert {line["error"] for line in lines} == {"restarting"}


def test_key_is_rotated_without_losing_a_request(stage: Stage, table: list[Row]) -> None:
    row, then = Row("key rotation: both keys, HUP, the new one alone, HUP"), Row("")
    before = stage.bridge.workers
    try:
        with stage.load(row, gate="key"):
            stage.write(API_KEY=f"{API_KEY},{OTHER_KEY}")
            stage.bridge.reload()
            stage.simulator.open_gate("key")
        stage.note_log(row, stage.bridge)
        # Clients change when the workers that know the old key only are gone, which is half a second.
        stage.bridge.wait_for(lambda log: all(f"exiting (pid: {pid})" in log for pid in before))
        stage.key = OTHER_KEY
        with stage.load(then, gate="new-key"):
            stage.write(API_KEY=OTHER_KEY)
            stage.bridge.reload()
            stage.simulator.open_gate("new-key")
        stage.note_log(then, stage.bridge)
        assert stage.bridge.get("/v1/models").status_code == 401
        assert stage.bridge.get("/v1/models", headers={"x-api-key": OTHER_KEY}, key=False).status_code == 200
    finally:
        stage.as_before()
    row.probes += then.probes
    row.lost += then.lost
    row.streams += then.streams
    row.unlogged += then.unlogged
    table.append(row)
    assert (row.lost, row.streams, row.unlogged) == ([], {"whole": 12}, [])
    assert OTHER_KEY not in stage.bridge.log


def test_setting_that_cannot_be_read_changes_nothing(stage: Stage, table: list[Row]) -> None:
    row = Row("HUP with a wrong setting")
    births = stage.bridge.log.count(BIRTH)
    try:
        with stage.load(row, gate="wrong"):
            stage.write(API_KEY=OTHER_KEY, KEEP_ALIVE_S="soon")
            os.kill(stage.bridge.pid, signal.SIGHUP)
            told = stage.bridge.log_line("not reloaded", "KEEP_ALIVE_S: 'soon' is not a number of seconds")
            stage.simulator.open_gate("wrong")
        stage.note_log(row, stage.bridge)
    finally:
        stage.write()
    table.append(row)
    assert told["level"] == "ERROR"
    assert stage.bridge.log.count(BIRTH) == births
    assert (row.lost, row.streams, row.unlogged) == ([], {"whole": 6}, [])


def test_code_that_does_not_start_changes_nothing(stage: Stage, table: list[Row]) -> None:
    row = Row("HUP after which the new workers do not start")
    try:
        with stage.load(row, gate="code"):
            stage.write(FAIL_TO_START="1", API_KEY=OTHER_KEY)
            os.kill(stage.bridge.pid, signal.SIGHUP)
            told = stage.bridge.log_line("not reloaded", "Worker failed to boot")
            stage.simulator.open_gate("code")
        stage.note_log(row, stage.bridge)
        # Those that go on are replaced when they die, and with the settings from before.
        births = stage.bridge.log.count(BIRTH)
        for victim in stage.bridge.workers:
            os.kill(victim, signal.SIGKILL)
        stage.bridge.wait_for(lambda log: log.count(BIRTH) >= births + 2)
        assert stage.bridge.get("/v1/models").status_code == 200
    finally:
        stage.as_before()
    table.append(row)
    assert told["level"] == "ERROR"
    assert (row.lost, row.streams, row.unlogged) == ([], {"whole": 6}, [])


def test_new_worker_killed_while_it_starts_is_replaced_before_the_old_ones_leave(
    stage: Stage, table: list[Row]
) -> None:
    row = Row("HUP, a new worker killed while it starts")
    before = stage.bridge.workers
    with stage.load(row, gate="young"):
        already = stage.bridge.log.count(BIRTH)
        os.kill(stage.bridge.pid, signal.SIGHUP)
        stage.bridge.wait_for(lambda log: log.count(BIRTH) > already)
        victim = max(stage.bridge.workers - before)
        os.kill(victim, signal.SIGKILL)
        stage.bridge.log_line(f"Worker (pid:{victim}) was sent SIGKILL")
        stage.bridge.wait_for(lambda log: all(f"accepting (pid: {pid})" in log for pid in before))
        stage.simulator.open_gate("young")
    stage.note_log(row, stage.bridge)
    table.append(row)
    assert len(stage.bridge.workers - before) == 2
    assert (row.lost, row.streams, row.unlogged) == ([], {"whole": 6}, [])


def test_killed_worker_takes_its_own_streams_with_it_and_no_others(stage: Stage, table: list[Row]) -> None:
    row = Row("a worker killed (SIGKILL)")
    with stage.load(row, gate="killed", streams=9):
        victim = min(stage.bridge.workers)
        os.kill(victim, signal.SIGKILL)
        stage.bridge.log_line(f"Worker (pid:{victim}) was sent SIGKILL")
        stage.simulator.open_gate("killed")
    stage.note_log(row, stage.bridge)
    table.append(row)
    assert row.streams["whole"] + sum(n for seen, n in row.streams.items() if seen.startswith("torn")) == 9
    assert row.streams["cut without a word"] == 0
    assert len(row.lost) <= 3  # those that were under way


def test_stop_lets_streams_finish_within_the_grace_and_tells_the_others(
    settings: dict[str, str], simulator_process: Simulator, tmp_path: Path, table: list[Row]
) -> None:
    row, early = Row("TERM, nobody holds the port"), Row("")
    waiting: list[requests.Response] = []
    with staged({**settings, "GRACEFUL_TIMEOUT_S": "4"}, tmp_path, simulator_process, workers=1) as stage:
        bridge = stage.bridge
        asking = threading.Thread(target=lambda: waiting.append(bridge.chat("[[gate: term-long]]")))
        asking.start()
        with stage.load(row, gate="term-long", streams=3), bridge.chat("[[chunks: 50000]]", stream=True) as unread:
            with stage.load(early, gate="term", streams=3):
                simulator_process.wait_at_gate("term-long", 4)
                bridge.terminate()
                bridge.wait_for(lambda log: "stops accepting" in log)
                simulator_process.open_gate("term")
            ids = stage.ids
            assert bridge.wait() == 0
            asking.join(30)
            assert unread.status_code == 200
        row.streams += early.streams
        stage.ids = [it for it in stage.ids + ids if it.startswith("stream")]
        stage.note_log(row, bridge)
    table.append(row)
    assert (row.streams, row.unlogged) == ({"whole": 3, "told to try again": 3}, [])
    assert [answer.status_code for answer in waiting] == [503]
    assert waiting[0].json()["error"]["code"] == "restarting"
    assert (waiting[0].headers["Connection"], waiting[0].headers["Retry-After"]) == ("close", "1")
    assert errors(bridge) == []


def test_restart_under_a_socket_unit_loses_no_request(
    settings: dict[str, str], simulator_process: Simulator, tmp_path: Path, table: list[Row]
) -> None:
    row = Row("TERM and a new start, under a socket unit")
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=2048))
        stage = stack.enter_context(staged(settings, tmp_path, simulator_process, workers=1, listener=listener))
        after = stage.bridge.successor()
        with stage.load(row, gate="socket"):
            stage.bridge.terminate()
            stage.bridge.wait_for(lambda log: "stops accepting" in log)
            stage.simulator.open_gate("socket")
            assert stage.bridge.wait() == 0
            stack.enter_context(after)
        stage.note_log(row, stage.bridge, after)
    table.append(row)
    assert (row.lost, row.streams, row.unlogged) == ([], {"whole": 6}, [])


def test_two_bridges_behind_nginx_are_restarted_in_turn_without_losing_a_request(
    settings: dict[str, str], simulator_process: Simulator, tmp_path: Path, table: list[Row]
) -> None:
    """Without a pause: nginx must take the first one for well as soon as it is back."""
    row = Row("two bridges behind nginx, TERM and a start in turn")
    folders = [tmp_path / name for name in ("first", "second", "nginx")]
    for folder in folders:
        folder.mkdir()
    first, second = Bridge(settings, folders[0]), Bridge(settings, folders[1])
    marked = "# server 127.0.0.1:8001 max_fails=0;"

    def with_both(site: str) -> str:
        assert marked in site
        return site.replace(marked, f"server 127.0.0.1:{second.port} max_fails=0;")

    with ExitStack() as stack:
        stack.enter_context(first)
        stack.enter_context(second)
        nginx = stack.enter_context(Nginx(first, folders[2], with_both))
        stage = Stage(first, nginx, simulator_process, tmp_path / "none")
        bridges = [first, second]
        with stage.load(row, gate="in-turn"):
            simulator_process.open_gate("in-turn")
            for old in (first, second):
                old.terminate()
                assert old.wait() == 0
                bridges.append(stack.enter_context(old.successor()))
        stage.note_log(row, *bridges)
    table.append(row)
    assert (row.lost, row.streams, row.unlogged) == ([], {"whole": 6}, [])


def test_stop_waits_for_nobody_who_asks_nothing(settings: dict[str, str], tmp_path: Path) -> None:
    """One idle connection made each stop take the whole grace."""
    with Bridge({**settings, "GRACEFUL_TIMEOUT_S": "3600"}, tmp_path) as bridge, requests.Session() as session:
        session.get(f"{bridge.url}/livez", timeout=30)
        with socket.create_connection(("127.0.0.1", bridge.port)):  # and one that has asked nothing yet
            bridge.terminate()
            assert bridge.wait() == 0
    assert errors(bridge) == []
