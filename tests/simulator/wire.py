"""Frames of event streams, and how they get onto the wire (contract §6.4, §6.5.16–§6.5.18, §7.5, §8.6)."""

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .knobs import Settings
from .server import ClientGone, Closed, Exchange, Headers, pause

if TYPE_CHECKING:
    from .state import World

Json = dict[str, Any]


@dataclass
class Flow:
    """How the bytes travel: pace, gates, pauses and where the stream is cut."""

    pace: float | None = None
    gate: str | None = None
    silence: float | None = None
    cut_events: int | None = None
    cut_bytes: int | None = None
    cut_kind: str = "clean"


# -- frames of every protocol ---------------------------------------------------------------------------------------


def compact(value: Json, sort: bool = False) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort)


def framed(text: str, settings: Settings, event: str | None = None) -> bytes:
    """One frame in the wanted framing, with an ``event:`` line where the protocol has them."""
    data, end = {
        "normal": ("data: ", "\n\n"),
        "single_newline": ("data: ", "\n"),
        "no_space": ("data:", "\n\n"),
        "crlf": ("data: ", "\r\n\r\n"),
    }[settings["framing"]]
    name = "" if event is None else data.replace("data", "event") + event + end[: len(end) // 2 or 1]
    return (name + data + text + end).encode()


def bare(value: Json) -> bytes:
    """Contract §6.5.16: an error thrown into the stream without any framing."""
    return compact(value).encode()


def finished(frames: list[bytes], settings: Settings, done: bool = True) -> list[bytes]:
    """The comments in between and the ``[DONE]`` at the end, as far as they are wanted."""
    if settings["comments"]:
        frames = [piece for frame in frames for piece in (b": keep-alive\n\n", frame)]
    if done and not settings["missing_done"]:
        frames.append(b"data: [DONE]" if settings["done_without_newline"] else framed("[DONE]", settings))
    return frames


def hold_back(world: "World", exchange: Exchange, gate: str | None, silence: float | None = None) -> None:
    """Wait before anything is answered; a client that leaves meanwhile counts as a request broken off."""
    try:
        if gate is not None and not world.pass_gate(gate, exchange.sock):
            exchange.break_off(reset=True)
        if silence is not None:
            pause(exchange.sock, silence)
    except ClientGone:
        world.count(aborted_requests=1)
        raise


# -- onto the wire ---------------------------------------------------------------------------------------------------


def send(
    world: "World", exchange: Exchange, headers: Headers, frames: list[bytes], flow: Flow, settings: Settings
) -> None:
    """Write the frames one by one, watching whether the client is still there."""
    epoch = world.epoch
    world.count(epoch, open_streams=1, streams=1)
    try:
        exchange.begin(
            200,
            [("content-type", settings["stream_content_type"]), ("cache-control", "no-cache"), *headers],
            chunked=not settings["unchunked"],
        )
        _write(world, exchange, frames, flow)
        exchange.end()
    except ClientGone:
        world.count(epoch, open_streams=-1, aborted_streams=1)
        raise
    except Closed:
        world.count(epoch, open_streams=-1, cut_streams=1)
        raise
    except BaseException:
        world.count(epoch, open_streams=-1)
        raise
    world.count(epoch, open_streams=-1, finished_streams=1)


def _write(world: "World", exchange: Exchange, frames: list[bytes], flow: Flow) -> None:
    started, sent, middle = time.monotonic(), 0, len(frames) // 2
    for number, frame in enumerate(frames):
        if flow.cut_events is not None and number >= flow.cut_events:
            return _cut(exchange, flow.cut_kind)
        if number and flow.gate is not None and not world.pass_gate(flow.gate, exchange.sock):
            exchange.break_off(reset=True)
        if flow.silence is not None and number == middle:
            pause(exchange.sock, flow.silence)
        if flow.pace:
            pause(exchange.sock, started + number / flow.pace - time.monotonic())
        if flow.cut_bytes is not None and sent + len(frame) > flow.cut_bytes:
            exchange.write(frame[: flow.cut_bytes - sent])
            return _cut(exchange, flow.cut_kind)
        exchange.write(frame)
        sent += len(frame)
    return None


def _cut(exchange: Exchange, kind: str) -> None:
    """ "clean" ends the body properly: clients see a valid HTTP message, and no finish reason (contract §6.5.17)."""
    if kind != "clean":
        exchange.break_off(reset=kind == "reset")
