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
_MORE_OF_THE_SAME = [[f"{it}:nth-child(n+12)"] for it in ("tr", "li", "main section", "main details")]
_TALLEST = 9_000  # pixels of a picture; Chromium takes long for more, and nobody looks at it
WAIT_MS = 15_000  # longest wait for anything; nothing takes that long unless it is broken

# Words in a row that no page in Chinese should have outside code, quotations and what a client is called.
_ENGLISH = r"/[A-Za-z’']+(?: [A-Za-z’']+){4,}/g"
_FOREIGN_TEXTS = f"""
() => {{
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), found = [];
  while (walker.nextNode()) {{
    const spoken = walker.currentNode.parentElement.closest("code, pre, script, style, noscript, option, [lang]");
    if (!spoken.lang.startsWith("zh")) continue;
    found.push(...(walker.currentNode.textContent.match({_ENGLISH}) ?? []));
  }}
  return found;
}}
"""

# Text that leaves the box that it stands in, or is drawn over other text. What scrolls or is hidden may be wider.
_OUT_OF_PLACE = """
() => {
  const found = new Set(), seen = [], range = document.createRange(), edges = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const edges_of = box => {  // between which text may stand; null: anywhere
    if (box === document.documentElement) return [0, box.clientWidth];
    if (edges.has(box)) return edges.get(box);
    const style = getComputedStyle(box), outer = edges_of(box.parentElement), at = box.getBoundingClientRect();
    const is_free = /auto|scroll/.test(style.overflowX) || style.clipPath !== "none" || style.position === "absolute";
    const inner = outer && [Math.max(outer[0], at.left), Math.min(outer[1], at.right)];
    edges.set(box, is_free ? null : style.display === "inline" ? outer : inner);
    return edges.get(box);
  };
  while (walker.nextNode()) {
    const node = walker.currentNode, box = node.parentElement, words = node.data.trim().slice(0, 60);
    if (!words || box.closest("script, style, noscript, select, textarea, svg") || !box.checkVisibility()) continue;
    const between = edges_of(box);
    if (!between) continue;
    range.selectNodeContents(node);
    for (const at of range.getClientRects()) {
      if (at.width < 1) continue;
      if (at.left < between[0] - 1 || at.right > between[1] + 1) found.add(`${words}: sticks out of its box`);
      seen.push([at, words]);
    }
  }
  seen.sort((one, other) => one[0].top - other[0].top);
  seen.forEach(([one, words], number) => {
    for (let next = number + 1; next < seen.length && seen[next][0].top < one.bottom - 8; next++) {
      const other = seen[next][0], across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const down = Math.min(one.bottom, other.bottom) - other.top;
      if (across > 2 && down > 8) found.add(`${words}: under ${seen[next][1]}`);
    }
  });
  return [...found].slice(0, 5);
}
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
    """One browser profile. Keeps what its console complained about, and what the server sent to it, if that is asked
    of later."""

    def __init__(self, context: Any, *, keeps_bodies: bool = True) -> None:
        self.context = context
        self._keeps_bodies = keeps_bodies
        self.bodies: list[str] = []
        self.complaints: list[str] = []
        context.set_default_timeout(WAIT_MS)
        context.on("page", self._watch)

    def open(self, url: str) -> Any:
        page = self.context.new_page()
        page.goto(url)
        return page

    def _watch(self, page: Any) -> None:
        if self._keeps_bodies:
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

    @property
    def takes_pictures(self) -> bool:
        return self._folder is not None

    def __call__(self, page: Any, name: str) -> None:
        """Nothing is wider than the screen, no text leaves its place, axe-core finds nothing in light and dark, and
        Chinese is Chinese."""
        self.look(page, name)
        self._examine(page, name, "light", "")
        self._examine(page, name, "dark", f", runOnly: {json.dumps(_OF_COLOURS)}")

    def look(self, page: Any, name: str) -> None:
        """The same without axe-core, which takes most of the time. It begins with the size that the page has."""
        now = page.viewport_size["width"]
        for size, (width, height) in sorted(SIZES.items(), key=lambda it: it[1][0] != now):
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} is wider than a {size}"
            out_of_place = page.evaluate(_OUT_OF_PLACE)
            assert not out_of_place, f"{name} on a {size}: {out_of_place}"
            if self._folder is not None:
                self._take(page, f"{name}-{size}")
        if page.evaluate("document.documentElement.lang") == "zh-Hans":
            foreign = page.evaluate(_FOREIGN_TEXTS)
            assert not foreign, f"English on {name}: {foreign}"

    def examine(self, page: Any, name: str, scheme: str) -> None:
        """By axe-core, in these colours; of rows that are alike, the first ones."""
        self._examine(page, name, scheme, "", f"{{ exclude: {json.dumps(_MORE_OF_THE_SAME)} }}")

    def _examine(self, page: Any, name: str, scheme: str, rules: str, what: str = "document") -> None:
        if not page.evaluate("'axe' in window"):
            page.evaluate(self._axe)
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate(f"axe.run({what}, {{ resultTypes: ['violations']{rules} }})")["violations"]
        assert not found, f"{name}, {scheme}: {_told(found)}"

    def _take(self, page: Any, name: str) -> None:
        assert self._folder is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        width, height = page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        shown = {"x": 0, "y": 0, "width": width, "height": min(height, _TALLEST)}
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=self._folder / f"{name}-{scheme}.png", full_page=True, clip=shown)


def _told(violations: list[dict[str, Any]]) -> str:
    lines = []
    for found in violations:
        places = [" ".join(node["html"].split()) for node in found["nodes"][:3]]
        lines.append(f"{found['id']}: {found['help']}: {' | '.join(places)}")
    return "; ".join(lines)
