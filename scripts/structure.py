"""Measure how the code is laid out, as a Markdown table with one column for each checkout.

::

    python scripts/structure.py                                 # this checkout
    git worktree add ../before v0.1.0
    python scripts/structure.py --checkout ../before --checkout .

Nothing but the project's own virtual environment is needed. What is counted, and how:

files per folder      Python files directly in a folder of ``app``; the largest folder.
one request           Two equal streamed requests at ``/v1/messages`` for a model that Copilot serves at
                      ``/chat/completions`` only, against an HTTP server in the same process that plays GitHub and
                      Copilot: a system prompt, a tool, an answer of text and a call. Counted are the files of ``app``
                      and the functions in them that run during the second one; the first fills caches.
a request field       The Python files of ``app`` that name a field that exists, for each of FIELDS: the word in code,
                      strings and comments alike.
a client dialect      For each dialect, the Python files of ``app`` outside of its folder that import from it, or
                      have its name or its address as a string. The name stands for the upstream side as well, so this
                      is an upper bound.
unused parameters     ruff's ARG rules over ``app/converters``.
imports alone         Each module of ``app`` is imported by a fresh process. ``migrations/env.py`` is none: Alembic runs
                      it as a script, with a context that only it can make.
circles               Strongly connected groups of modules, imports inside of functions included, those under
                      TYPE_CHECKING not. Importing a module also runs the ``__init__`` of the packages it is in.
§ references          `pointers.section_pointers`: a § that names no document or leads to no section.
"""

# ruff: noqa: S603, T201

from __future__ import annotations

import _thread
import argparse
import ast
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts import pointers  # noqa: E402

FIELDS: Final = (
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "temperature",
    "top_k",
    "top_p",
    "verbosity",
)
"""Request fields that more than one protocol has a form of, or that are carried across."""
DIALECTS: Final = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}

MODEL: Final = {
    "id": "gemini-test",
    "name": "Gemini",
    "object": "model",
    "vendor": "Google",
    "version": "gemini-test",
    "model_picker_enabled": True,
    "supported_endpoints": ["/chat/completions"],
    "capabilities": {
        "type": "chat",
        "family": "gemini-test",
        "limits": {"max_context_window_tokens": 128000, "max_prompt_tokens": 64000, "max_output_tokens": 8000},
        "supports": {"streaming": True, "tool_calls": True},
    },
}
QUESTION: Final = {
    "model": "gemini-test",
    "max_tokens": 1000,
    "stream": True,
    "system": "You are brief.",
    "messages": [{"role": "user", "content": "What is the weather in Oslo?"}],
    "tools": [{"name": "weather", "description": "By city", "input_schema": {"type": "object", "properties": {}}}],
}


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-test", "created": 1764000000, "model": "gemini-test", "choices": [choice]}


_CALL: Final = {"index": 0, "id": "call_test", "type": "function", "function": {"name": "weather", "arguments": ""}}
ANSWER: Final = [
    _chunk({"role": "assistant", "content": "Let me "}),
    _chunk({"content": "see."}),
    _chunk({"tool_calls": [_CALL]}),
    _chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]}),
    _chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"Oslo"}'}}]}),
    _chunk({}, "tool_calls"),
    {**_chunk({}), "choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}},
]


class Upstream(BaseHTTPRequestHandler):
    """GitHub and Copilot, as far as one request needs them."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/copilot_internal/v2/token"):
            self._json({"token": "tid=test;exp=4000000000:mac", "expires_at": 4_000_000_000, "refresh_in": 1500})
        else:
            self._json({"object": "list", "data": [MODEL]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        frames = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in ANSWER) + "data: [DONE]\n\n"
        self._send("text/event-stream", frames.encode())

    def _json(self, value: object) -> None:
        self._send("application/json", json.dumps(value).encode())

    def _send(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


# ---- measured within a process whose `app` is that of the checkout


def one_request() -> tuple[int, int, int, int]:
    """(files, functions) of ``app`` that the second of two equal requests runs; then of the converters alone."""
    from app import create_app
    from app.settings import Settings

    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "API_KEY": "test-key",
            "DATA_DIR": f"{folder}/data",
            "COPILOT_CONFIG_DIR": f"{folder}/none",
            "GITHUB_BASE_URL": address,
            "GITHUB_API_BASE_URL": address,
            "COPILOT_API_BASE_URL": address,
            "GH_COPILOT_TOKEN": "ghu_test_structure",
        }
        app = create_app(Settings.from_env(environment))
        ask = {"json": QUESTION, "headers": {"Authorization": "Bearer test-key"}}
        client = app.test_client()
        client.post("/v1/messages", **ask)
        with traced(str(Path("app").resolve())) as seen:
            answer = client.post("/v1/messages", **ask)
            text = answer.get_data(as_text=True)
        app.extensions["gateway"].close()
    server.shutdown()
    if "event: message_stop" not in text or "tool_use" not in text:
        raise SystemExit(f"the traced request failed: {answer.status} {text[:500]}")
    inside = {(file, name) for file, name in seen if f"{os.sep}converters{os.sep}" in file}
    return len({file for file, _ in seen}), len(seen), len({file for file, _ in inside}), len(inside)


@contextlib.contextmanager
def traced(folder: str) -> Iterator[set[tuple[str, str]]]:
    """Collect (file, qualified name) of every function below `folder` that is called, here and in new threads."""
    seen: set[tuple[str, str]] = set()

    def profile(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(folder):
            seen.add((code.co_filename, code.co_qualname))

    start = _thread.start_new_thread

    def start_traced(function: Callable[..., object], *rest: Any) -> int:
        """For threads that `threading` knows nothing of."""

        def run(*given: Any, **more: Any) -> object:
            sys.setprofile(profile)
            return function(*given, **more)

        return start(run, *rest)

    _thread.start_new_thread = start_traced
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        yield seen
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        _thread.start_new_thread = start


def not_alone() -> list[str]:
    """The modules of ``app`` that a fresh process cannot import first. What is not ours is there already."""
    for name in (
        "flask",
        "gevent",
        "marshmallow",
        "orjson",
        "redis",
        "requests",
        "ruamel.yaml",
        "sseclient",
        "tomlkit",
    ):
        with contextlib.suppress(ImportError):
            __import__(name)
    failed = []
    for name in modules(Path.cwd()):
        if name.endswith(".migrations.env"):
            continue
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            try:
                __import__(name)
            except BaseException:
                os._exit(1)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            failed.append(name)
    return failed


# ---- measured by reading


def modules(checkout: Path) -> dict[str, Path]:
    """Name → file of every module of ``app``."""
    found = {}
    for file in sorted((checkout / "app").rglob("*.py")):
        parts = file.relative_to(checkout).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(name: str, file: Path, known: dict[str, Path]) -> set[str]:
    """The modules of ours whose code an import in `file` runs: the named ones and the packages that they are in."""
    tree = ast.parse(file.read_text("utf-8"))
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    named: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    reached = {".".join(parts[:n]) for one in named if (parts := one.split(".")) for n in range(1, len(parts) + 1)}
    return {one for one in reached & known.keys() if one != name and not name.startswith(one + ".")}


def circles(known: dict[str, Path]) -> list[list[str]]:
    """Groups of modules each of which reaches all others of its group."""
    arrows = {name: imports(name, file, known) for name, file in known.items()}

    def reach(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            for target in arrows[waiting.pop()] - found:
                found.add(target)
                waiting.append(target)
        return found

    reached = {name: reach(name) for name in known}
    groups = {
        tuple(sorted({other for other in reached[name] if name in reached[other]} | {name}))
        for name in known
        if name in reached[name]
    }
    return [list(group) for group in sorted(groups)]


def files_with(known: dict[str, Path], word: str) -> int:
    """How many modules have this word."""
    pattern = re.compile(rf"\b{re.escape(word)}\b")
    return sum(1 for file in known.values() if pattern.search(file.read_text("utf-8")))


def files_naming(known: dict[str, Path], dialect: str, address: str) -> int:
    """How many modules outside of a dialect's folder import from it, or have its name or address as a string."""
    home = f"app.converters.{dialect}"
    count = 0
    for name, file in known.items():
        if name == home or name.startswith(home + "."):
            continue
        strings = {
            node.value
            for node in ast.walk(ast.parse(file.read_text("utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        used = imports(name, file, known)
        if {dialect, address} & strings or any(one == home or one.startswith(home + ".") for one in used):
            count += 1
    return count


def unused_parameters(checkout: Path) -> int:
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--select=ARG",
        "--output-format=json",
        "app/converters",
    ]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    return len(json.loads(done.stdout))


def measured_inside(checkout: Path, what: str) -> Any:
    """One of the functions above that need the checkout's own ``app``, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [sys.executable, __file__, "--inside", what]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{checkout}: {what}: {done.stderr}")
    return json.loads(done.stdout)


def measure(checkout: Path, *, explain: bool) -> dict[str, str]:
    """What → the number, as it stands in the table."""
    known = modules(checkout)
    folders = Counter(str(file.parent.relative_to(checkout)) for file in known.values())
    pure = Counter({folder: count for folder, count in folders.items() if folder.startswith("app/converters")})
    passed_files, passed_functions, pure_files, pure_functions = measured_inside(checkout, "one_request")
    fields = {field: files_with(known, field) for field in FIELDS}
    dialects = {name: files_naming(known, name, address) for name, address in DIALECTS.items()}
    alone, found = measured_inside(checkout, "not_alone"), circles(known)
    lost = [pointer for pointer in pointers.section_pointers(checkout) if pointer.fault]
    if explain:
        for title, value in {"fields": fields, "dialects": dialects, "not alone": alone, "circles": found}.items():
            print(f"{checkout.name}: {title}: {value}", file=sys.stderr)
    return {
        "Python files in `app`, folders": f"{len(known)}, {len(folders)}",
        "Files in the largest folder; in that of `app/converters`": f"{_largest(folders)}; {_largest(pure)}",
        "Modules that one streamed Messages request for a chat-only model passes through; in `app/converters`": (
            f"{passed_files}; {pure_files}"
        ),
        "Functions that it passes through; in `app/converters`": f"{passed_functions}; {pure_functions}",
        "Files that name one request field (median; from – to)": _spread(list(fields.values())),
        "Files outside its folder that name one dialect (median; from – to)": _spread(list(dialects.values())),
        "Unused parameters in `app/converters`": str(unused_parameters(checkout)),
        "Modules that cannot be imported alone": str(len(alone)),
        "Import circles": str(len(found)),
        "§ references that lead nowhere": str(len(lost)),
    }


def _largest(folders: Counter[str]) -> str:
    folder, count = folders.most_common(1)[0]
    return f"{count} (`{folder}`)"


def _spread(values: list[int]) -> str:
    return f"{median(values):g}; {min(values)} – {max(values)}"


def _label(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "log", "-1", "--format=%h, %cs"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or checkout.name


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how the code is laid out.")
    parser.add_argument("--checkout", action="append", type=Path, help="a working tree to measure; may be given twice")
    parser.add_argument("--explain", action="store_true", help="say on stderr what the numbers are made of")
    parser.add_argument("--inside", choices=["one_request", "not_alone"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        sys.path.insert(0, str(Path.cwd()))
        print(json.dumps({"one_request": one_request, "not_alone": not_alone}[options.inside]()))
        return
    checkouts = [checkout.resolve() for checkout in options.checkout or [ROOT]]
    columns = {_label(checkout): measure(checkout, explain=options.explain) for checkout in checkouts}
    print(f"| | {' | '.join(columns)} |")
    print(f"| --- |{' ---: |' * len(columns)}")
    for what in next(iter(columns.values())):
        print(f"| {what} | {' | '.join(column[what] for column in columns.values())} |")


if __name__ == "__main__":
    main()
