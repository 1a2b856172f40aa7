"""A browser for tests: a profile that keeps what it saw, and what may be said of every page."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Error

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP nas 127.0.0.1,MAP evil.example 127.0.0.1",
]  # fmt: skip
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
_OF_COLOURS = ["color-contrast", "link-in-text-block"]  # the rules of axe-core that a dark scheme can break by itself
WAIT_MS = 15_000  # longest wait for anything; nothing takes that long unless it is broken

# Words in a row that no page in Chinese should have outside code, quotations and what a client is called.
_ENGLISH = r"/[A-Za-z’']+(?: [A-Za-z’']+){4,}/g"
_FOREIGN_TEXTS = f"""
() => {{
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {{
    if (walker.currentNode.parentElement.closest("code, pre, script, style, noscript, option, [lang=en]")) continue;
    found.push(...(walker.currentNode.textContent.match({_ENGLISH}) ?? []));
  }}
  return found;
}}
"""


@contextmanager
def serving_page(html: str) -> Iterator[int]:
    """Another web server on this machine, with one page; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = html.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class Visitor:
    """One browser profile. Keeps what the server sent to it and what its console complained about."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.bodies: list[str] = []
        self.complaints: list[str] = []
        context.set_default_timeout(WAIT_MS)
        context.on("page", self._watch)

    def open(self, url: str) -> Any:
        page = self.context.new_page()
        page.goto(url)
        return page

    def _watch(self, page: Any) -> None:
        page.on("requestfinished", self._keep)
        page.on("console", lambda line: self._complain(line.type, line.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _keep(self, request: Any) -> None:
        response = request.response()
        self.bodies.append(json.dumps(dict(response.headers)))
        if response.status == 303:
            return  # has no body to speak of
        try:
            self.bodies.append(response.text())
        except Error:  # the page has moved on, and the browser dropped what it had
            self.bodies.append("")

    def _complain(self, kind: str, text: str) -> None:
        # A 401, 404 or 502 that a test provokes is no fault of the page; a broken policy or script is.
        if kind in ("error", "warning") and "Failed to load resource" not in text:
            self.complaints.append(text)


class Onlooker:
    """Looks at pages as they are, and writes pictures of them if somebody wants some (SCREENSHOTS_DIR)."""

    def __init__(self, axe: str) -> None:
        """axe: the source of axe-core."""
        self._axe = axe
        self._folder = Path(folder) if (folder := os.environ.get("SCREENSHOTS_DIR")) else None

    def __call__(self, page: Any, name: str) -> None:
        """Nothing is wider than the screen, axe-core finds nothing in light and dark, and Chinese is Chinese."""
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than a {size}"
            if self._folder is not None:
                self._take(page, f"{name}-{size}")
        page.evaluate(self._axe)
        for scheme, rules in (("light", ""), ("dark", f", runOnly: {json.dumps(_OF_COLOURS)}")):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate(f"axe.run(document, {{ resultTypes: ['violations']{rules} }})")["violations"]
            assert not found, f"{name}, {scheme}: {_told(found)}"
        if page.evaluate("document.documentElement.lang") == "zh-Hans":
            foreign = page.evaluate(_FOREIGN_TEXTS)
            assert not foreign, f"English on {name}: {foreign}"

    def _take(self, page: Any, name: str) -> None:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=self._folder / f"{name}-{scheme}.png", full_page=True)


def _told(violations: list[dict[str, Any]]) -> str:
    lines = []
    for found in violations:
        places = [" ".join(node["html"].split()) for node in found["nodes"][:3]]
        lines.append(f"{found['id']}: {found['help']}: {' | '.join(places)}")
    return "; ".join(lines)
