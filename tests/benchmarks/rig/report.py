"""What was measured, as Markdown and as a picture."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from tests.benchmarks.rig.measure import BEND_MS
from tests.benchmarks.rig.processes import ROOT
from tests.benchmarks.rig.scenarios import LOADS, Load
from tests.benchmarks.rig.targets import BRIDGE, OTHER, YARDSTICK

Figures = dict[str, Any]
_NAMES = {BRIDGE: "bridge", OTHER: "copilot-api 0.7.0", YARDSTICK: "nginx, which only copies"}


def markdown(found: Figures) -> str:
    machine = found["machine"]
    lines = [
        f"{found['date']}, {machine['cores']} cores ({machine['cpu']}), "
        f"Python {machine['python']}, {found['rounds']} bursts of each, load of the machine {machine['load']:.1f} "
        "at the start.",
        "",
        *_table(found),
    ]
    if "growth" in found:
        lines += ["", *_growth(found["growth"])]
    if "bend" in found:
        lines += ["", *_bend(found["bend"])]
    problems = [
        f"{key}, {name}: {figures['errors']} of {figures['errors'] + figures['answers']} failed"
        for key, by in found["loads"].items()
        for name, figures in by.items()
        if figures["errors"]
    ]
    if problems:
        lines += ["", "Not every answer came whole: " + "; ".join(problems) + "."]
    return "\n".join(lines)


def write(found: Figures) -> None:
    """Put the tables between their marks in docs/performance.md, and draw the picture."""
    document = ROOT / "docs" / "performance.md"
    begin, end = "<!-- bench -->\n", "<!-- /bench -->"
    head, rest = document.read_text("utf-8").split(begin)
    document.write_text(head + begin + markdown(found) + "\n" + end + rest.split(end)[1], "utf-8")
    (ROOT / "docs" / "images" / "performance.svg").write_text(picture(found), "utf-8")


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _table(found: Figures) -> list[str]:
    names = found["targets"]
    rows: list[tuple[str, list[float | None], Callable[[float], str]]] = []

    def row(title: str, key: str, figure: str, write: Callable[[float], str]) -> None:
        by = found["loads"].get(key, {})
        values = [by.get(name, {}).get(figure) for name in names]
        if any(value is not None for value in values):
            rows.append((title, values, write))

    for load in LOADS:
        row(f"{load.title}, CPU per {load.unit}", load.key, "cpu_us", _written(load))
        if load.per_s:
            row("… CPU of a core", load.key, "cpu_share", lambda share: f"{share:.0%}")
            row("… delay of an event, p99", load.key, "delay_p99_ms", _ms)
        if load.per_s or load.key == "tls20one":
            row("… until the first event, p50", load.key, "first_p50_ms", _ms)
        if load.key in ("tls20", "tlswhole"):
            row(f"… new upstream connections per {load.unit}", load.key, "new_connections", lambda part: f"{part:.2f}")
    for title, figure, write in (
        ("start to healthy", "start_s", lambda value: f"{value:.2f} s"),
        ("idle memory", "idle_mb", lambda value: f"{value:.0f} MB"),
        ("memory of an open stream", "stream_kib", lambda value: f"{value:.0f} KiB"),
    ):
        values = [found.get("starts", {}).get(name, {}).get(figure) for name in names]
        if any(value is not None for value in values):
            rows.append((title, values, write))
    against = found["against"]
    heads = [_NAMES.get(name, name) for name in names] + ([f"ratio to {against}: minima, medians"] if against else [])
    lines = [f"| | {' | '.join(heads)} |", "| --- |" + " ---: |" * len(heads)]
    by_title = {f"{load.title}, CPU per {load.unit}": load for load in LOADS}
    for title, values, write in rows:
        cells = ["–" if value is None else write(value) for value in values]
        if against:
            cells.append(_ratio(found, by_title.get(title)))
        cells[0] = f"**{cells[0]}**"
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def _ratio(found: Figures, load: Load | None) -> str:
    if load is None:
        return ""
    ours, theirs = (found["loads"][load.key].get(name) for name in (BRIDGE, found["against"]))
    if not (ours and theirs and ours["cpu_us"] and theirs["cpu_us"]):
        return ""
    return f"{ours['cpu_us_min'] / theirs['cpu_us_min']:.2f}, {ours['cpu_us'] / theirs['cpu_us']:.2f}"


def _written(load: Load) -> Callable[[float], str]:
    return _micro if load.unit == "event" else _milli


def _micro(value: float) -> str:
    return f"{value:.1f} µs"


def _milli(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.1f} s"
    return f"{value / 1e3:.2f} ms" if value >= 1000 else f"{value:.0f} µs"


def _ms(value: float) -> str:
    return f"{value:.1f} ms"


def _growth(growth: Figures) -> list[str]:
    first = next(iter(growth.values()))
    lengths = next(iter(first["events"].values()))
    lines = [
        "| CPU per event, in answers of | " + " | ".join(f"{int(length):,} events" for length in lengths) + " |",
        "| --- |" + " ---: |" * len(lengths),
    ]
    titles = {"chat": "chat, native", "messages": "Messages from chat", "responses": "Responses, native"}
    for workers, figures in growth.items():
        for door, by in figures["events"].items():
            cells = " | ".join(_micro(value) for value in by.values())
            lines.append(f"| {titles[door]}, {_workers(workers)} | {cells} |")
    sizes = first["kib"]
    lines += [
        "",
        "| CPU per request, conversation of | " + " | ".join(f"{int(size):,} KiB" for size in sizes) + " |",
        "| --- |" + " ---: |" * len(sizes),
    ]
    for workers, figures in growth.items():
        cells = " | ".join(f"{value:.1f} ms" for value in figures["kib"].values())
        lines.append(f"| {_workers(workers)} | {cells} |")
    return lines


def _bend(bend: Figures) -> list[str]:
    counts = sorted({level["streams"] for figures in bend.values() for level in figures["levels"]})
    per_s = next(iter(bend.values()))["per_s"]
    lines = [
        f"| streams of {per_s:.0f} events/s: delay of an event, p99 | " + " | ".join(f"{n:,}" for n in counts) + " |",
        "| --- |" + " ---: |" * len(counts),
    ]
    for workers, figures in bend.items():
        at = {level["streams"]: level["delay_p99_ms"] for level in figures["levels"]}
        cells = [_late(at[n]) if n in at else "" for n in counts]
        lines.append(f"| {_workers(workers)} | {' | '.join(cells)} |")
    return lines


def _late(delay_ms: float) -> str:
    return f"**{_ms(delay_ms)}**" if delay_ms > BEND_MS else _ms(delay_ms)


def _workers(count: str) -> str:
    return f"{count} worker{'s' if count != '1' else ''}"


# ── the picture ─────────────────────────────────────────────────────────────────────────────────────────────────────

_COLOURS = {BRIDGE: "#2563eb", OTHER: "#f59e0b", YARDSTICK: "#94a3b8"}
_WIDTH, _LEFT, _BAR, _GAP = 760, 250, 11, 12


def picture(found: Figures) -> str:
    """CPU of each load as bars; the longest of a load is as wide as the picture, and nginx shows what copying takes."""
    names = [name for name in found["targets"] if name in _COLOURS]
    parts, y = [], 30
    for number, name in enumerate(names):
        x = _LEFT + number * 170
        parts.append(f'<rect x="{x}" y="8" width="10" height="10" fill="{_COLOURS[name]}"/>')
        parts.append(f'<text x="{x + 15}" y="17">{escape(_NAMES[name])}</text>')
    for load in LOADS:
        by = found["loads"].get(load.key, {})
        values = {name: by[name]["cpu_us"] for name in names if name in by and by[name]["cpu_us"]}
        if not values:
            continue
        write, most = _written(load), max(values.values())
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 9}" text-anchor="end">{escape(load.title)}</text>')
        for name, value in values.items():
            width = max(1, round((_WIDTH - _LEFT - 80) * value / most))
            parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width}" height="{_BAR - 2}" fill="{_COLOURS[name]}"/>')
            parts.append(f'<text x="{_LEFT + width + 5}" y="{y + 8}" font-size="10">{escape(write(value))}</text>')
            y += _BAR
        y += _GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" font-family="sans-serif" font-size="12">\n'
        "<title>CPU time per request, stream or event</title>\n"
        f'<rect width="{_WIDTH}" height="{y}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
