"""Copies a stream to its client from within the event loop.

An event of a slow stream costs most when a greenlet is woken for it: two switches, a timer, a read that finds nothing,
and the generators between upstream's socket and the client's. Here the event loop itself calls the three steps that an
event takes: read, change, send. None of them waits. Whatever is out of the ordinary (the end, a silence, a client that
does not read, more events than one) wakes the greenlet, which goes on by the plain way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.hub import Waiter

from app.copier import HURRY_BYTES
from app.errors import ClientGone

if TYPE_CHECKING:  # gunicorn's master imports this, and must not import ssl
    from app.http_body import Lookout

_READABLE: Final = 1


class StreamCopier:
    """For the answer of one request. response: gunicorn's. set_in_app: told before and after a write that may wait
    whether the app is at work."""

    def __init__(self, response: Any, client: Any, set_in_app: Callable[[bool], None]) -> None:
        self._response = response
        self._client = client
        self._set_in_app = set_in_app

    def copy(self, lookout: Lookout, change: Callable[[bytes], bytes], is_ended: Callable[[], bool]) -> bytes:
        """See `app.copier.Copier`."""
        if not (self._response.chunked and self._response.headers_sent):
            return b""
        while unsent := self._copied(lookout, change, is_ended):
            if is_ended():
                return unsent
            self._set_in_app(False)
            try:
                self._client.sendall(unsent)
            except OSError:
                raise ClientGone from None
            finally:
                self._set_in_app(True)
        return b""

    def _copied(self, lookout: Lookout, change: Callable[[bytes], bytes], is_ended: Callable[[], bool]) -> bytes:
        """Copy until something else is to be done. Returns what the client has no room for, if it is that; if it is the
        end, the last of the stream as `change` made it."""
        loop, waiter = gevent.get_hub().loop, Waiter()
        send = self._client._sock.send  # below gevent's, which waits
        last = time.monotonic()

        def came() -> None:
            nonlocal last
            try:
                piece = lookout.look()
                if piece is None:
                    waiter.switch(b"")
                    return
                last = time.monotonic()
                changed = change(piece) if piece else b""
                if is_ended():
                    waiter.switch(changed)
                    return
                unsent = _sent(send, changed)
                if unsent or len(piece) >= HURRY_BYTES:
                    waiter.switch(unsent)
            except BaseException as error:
                waiter.throw(error)

        watcher, timer = loop.io(lookout.fileno(), _READABLE), loop.timer(lookout.patience_s)

        def silent() -> None:
            nonlocal timer
            left = last + lookout.patience_s - time.monotonic()
            if left > 0:
                timer = loop.timer(left)
                timer.start(silent)
            else:
                lookout.note_silence()
                waiter.switch(b"")

        try:
            watcher.start(came)
            timer.start(silent)
            unsent: bytes = waiter.get()
            return unsent
        finally:
            watcher.stop()
            timer.stop()
            watcher.close()
            timer.close()


def _sent(send: Callable[[bytes], int], piece: bytes) -> bytes:
    """Send a piece as a chunk; what there was no room for. Raises: ClientGone."""
    if not piece:
        return b""
    chunk = b"%X\r\n%b\r\n" % (len(piece), piece)
    try:
        return chunk[send(chunk) :]
    except BlockingIOError:
        return chunk
    except OSError:
        raise ClientGone from None
