"""``python -m tests.simulator``: start the simulator, print its URLs as one line of JSON, run until told to stop."""

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path

from . import knobs
from .app import serve
from .state import World

_DEMO_HINTS = """\
Simulator of GitHub and Copilot (nothing here reaches the real services).
  Point the gateway at it:
    export GITHUB_BASE_URL={web}
    export GITHUB_API_BASE_URL={api}
  Sign-in is approved by itself 3 seconds after the first poll, or at {web}/login/device
  Put directives into a prompt: [[say: text]] [[tool: NAME {{"a": 1}}]] [[error: 429]] [[pace: 10/s]] [[think: text]]
  Watch it: {control}/state  {control}/requests
"""

DEMO_PACE = 20
"""Events a second: slow enough to see that they come one by one."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.simulator", description=__doc__)
    parser.add_argument("--port-base", type=int, default=0, help="first of five consecutive ports (default: any free)")
    parser.add_argument("--config", type=Path, help="JSON file with knobs to start with")
    parser.add_argument(
        "--demo", action="store_true", help="hints on stderr, streams to watch, device sign-in approves itself"
    )
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input ends")
    parser.add_argument("--list-knobs", action="store_true", help="print the knob table and stop")
    options = parser.parse_args()
    if options.list_knobs:
        print(knobs.markdown_table())
        return 0
    start_config = json.loads(options.config.read_text("utf-8")) if options.config else {}
    if options.demo:
        start_config.setdefault("device_auto_approve_after_s", 3)
        start_config.setdefault("device_interval_s", 1)  # GitHub's own five seconds would be fifteen in the end
        start_config.setdefault("pace", DEMO_PACE)
    world = World(start_config)
    ports = serve(world, options.port_base)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    print(json.dumps(world.urls), flush=True)
    if options.demo:
        print(_DEMO_HINTS.format(**world.urls), file=sys.stderr, flush=True)
    if options.exit_with_stdin:
        threading.Thread(target=_watch_stdin, args=(stop,), daemon=True).start()
    stop.wait()
    for port in ports:
        port.close()
    return 0


def _watch_stdin(stop: threading.Event) -> None:
    while os.read(0, 1024):  # not through sys.stdin: a daemon thread must not hold the buffer's lock at exit
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
