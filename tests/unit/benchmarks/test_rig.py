"""What `make bench` measures with: an answer counts only when it is whole, and the tables say what was found."""

from __future__ import annotations

import asyncio
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.benchmarks.rig import answers, report
from tests.benchmarks.rig.answers import CHAT_MODEL, MESSAGES_MODEL, RESPONSES_MODEL, STREAM_HEAD, frames, whole
from tests.benchmarks.rig.load import Asker, Result
from tests.benchmarks.rig.scenarios import ENDS, LOADS

MODELS = {"chat": CHAT_MODEL, "messages": MESSAGES_MODEL, "responses": RESPONSES_MODEL}


class Wire(asyncio.Transport):
    def write(self, data: object) -> None:
        """A request, which nobody reads."""

    def close(self) -> None:
        """As if there were a connection."""


def asked(pieces: list[bytes], *, events: int, end: str) -> Result:
    async def ask() -> Result:
        result = Result()
        asker = Asker(b"", events, end.encode(), 0.0, result)
        asker.connection_made(Wire())
        for piece in pieces:
            asker.data_received(piece)
        asker.connection_lost(None)
        return result

    return asyncio.run(ask())


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("protocol", MODELS)
@pytest.mark.parametrize("size", [1, 7, 50, 1000, 10**6])
def test_a_stream_counts_when_all_of_it_has_come(protocol: str, size: int) -> None:
    it = frames(protocol, MODELS[protocol])
    event = it.event()
    stream = STREAM_HEAD + it.first + event * 3 + it.last
    found = asked(in_pieces(stream, size), events=3, end=ENDS[protocol])
    assert (found.answers, found.events, found.errors) == (1, 3, 0)
    assert len(found.delays) == 3
    for torn in (stream[:-5], stream.replace(event, b"", 1), stream.replace(it.last, b"0\r\n\r\n")):
        found = asked(in_pieces(torn, size), events=3, end=ENDS[protocol])
        assert (found.answers, found.errors) == (0, 1)


def test_an_event_that_a_chunk_divides_counts() -> None:
    it = frames("chat", CHAT_MODEL)
    event = it.event()
    middle = event.index(b"lorem")
    stream = STREAM_HEAD + it.first + event + event[:middle] + b"\r\nfc8\r\n" + event[middle:] + it.last
    assert asked([stream], events=2, end="[DONE]").answers == 1


@pytest.mark.parametrize("protocol", MODELS)
def test_a_whole_answer_counts_when_it_is_one(protocol: str) -> None:
    answer = whole(protocol, MODELS[protocol])
    assert asked(in_pieces(answer, 100), events=0, end="").answers == 1
    assert asked([answer[:-1]], events=0, end="").errors == 1
    assert asked([answers.plain({}, "502 Bad Gateway")], events=0, end="").errors == 1


@pytest.fixture
def found() -> dict[str, object]:
    """Figures of a run, all of them 1,000 µs and 2 ms."""
    names = ["bridge", "copilot-api", "nginx"]
    one = {
        "cpu_us": 1000.0,
        "cpu_us_min": 900.0,
        "first_p50_ms": 2.0,
        "delay_p99_ms": 2.0,
        "cpu_share": 0.5,
        "new_connections": 0.0,
        "errors": 0,
        "answers": 10,
    }
    levels = [{"streams": 200, "delay_p99_ms": 10.0}, {"streams": 400, "delay_p99_ms": 60.0}]
    return {
        "date": "2026-01-01",
        "commit": "abc",
        "machine": {"cpu": "<&>", "cores": 2, "python": "3.11", "load": 0.0},
        "rounds": 3,
        "targets": names,
        "against": "",
        "loads": {load.key: dict.fromkeys(names, one) for load in LOADS},
        "starts": {name: {"start_s": 0.5, "idle_mb": 60.0, "stream_kib": 80.0} for name in names},
        "growth": {"1": {"events": {"chat": {"10": 5.0}}, "kib": {"16": 1.0}}},
        "bend": {"1": {"per_s": 40.0, "levels": levels}},
    }


def test_the_report_has_every_load_once(found: dict[str, object]) -> None:
    told = report.markdown(found)
    for load in LOADS:
        assert told.count(f"| {load.title}, CPU per {load.unit} | **") == 1
    assert "| 1 worker | 10.0 ms | **60.0 ms** |" in told
    drawn = ElementTree.fromstring(report.picture(found))
    assert sum(one.tag.endswith("rect") for one in drawn) == 1 + 3 + 3 * len(LOADS)


def test_another_commit_is_told_as_a_ratio(found: dict[str, object]) -> None:
    told = report.markdown(found | {"against": "nginx"})
    assert "| 1.00, 1.00 |" in told


def test_it_goes_into_the_document_each_time_anew(
    found: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs" / "images").mkdir(parents=True)
    document = tmp_path / "docs" / "performance.md"
    document.write_text("before\n<!-- bench -->\n<!-- /bench -->\nafter\n", "utf-8")
    monkeypatch.setattr(report, "ROOT", tmp_path)
    for _ in range(2):
        report.write(found)
        text = f"before\n<!-- bench -->\n{report.markdown(found)}\n<!-- /bench -->\nafter\n"
        assert document.read_text("utf-8") == text
