"""gunicorn's gevent worker, but for the way it stops.

Told to stop, it accepts nobody any more and serves what it has. A connection on which nothing happens is closed after
a moment; an answer still running after ``GRACEFUL_TIMEOUT_S`` is ended with an error in its client's own dialect. The
worker is gone as soon as its last connection is, and every request has had its line in the log.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import metadata
from typing import Any, Final

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.workers.ggevent import GeventWorker

from app.errors import ClientGone, RestartingError
from app.logs import logger
from app.serving import head_with_body
from app.serving.client_socket import ClientSocket
from app.serving.copier import StreamCopier
from app.serving.free_memory import give_back
from app.serving.guests import RESERVE, Guests, Surplus
from app.serving.options import FAREWELL_S
from app.serving.paced_body import PIECE_BYTES, BodyInPieces, PacedBody
from app.serving.turns import Turns

_TICK_S: Final = 0.1
_LAST_WAIT_S: Final = 0.5
"""How long a stopping worker waits for a request on a connection without one: it may be under way already."""
_END_AGAIN_S: Final = 0.5
_LOOK_S: Final = 0.5
"""How often it is looked whether the clients for whose answers the app waits are still there."""
_TIDY_S: Final = 5.0
"""How often what is idle is let go: connections, and memory."""
_TELL_S: Final = 1.0
"""How often the other workers are told this one's numbers."""
_MOST_WRAPPERS: Final = 10
_WRAPPED: Final = ("app", "wsgi_app", "application")
"""What WSGI middleware calls the application within it."""
_ACCEPTED: Final = 8
"""Connections in a row; then those that are there have their turn."""
_SURPLUS_S: Final = 5.0
"""How long a connection that is one too many may take to say what it wants."""


class Connection:
    """A client's connection, and where its greenlet is."""

    def __init__(self, client: Any, surplus: Surplus | None) -> None:
        self.surplus = surplus
        self.body: PacedBody | None = None
        self.client = client
        self._greenlet = gevent.getcurrent()
        self._waits_since: float | None = None
        self._has_been_told = False
        self.is_in_app = False

    def set_in_app(self, is_in_app: bool) -> None:
        self.is_in_app = is_in_app

    def waits(self) -> None:
        """Nothing is asked at the moment."""
        self._waits_since = time.monotonic()

    def serves(self) -> None:
        """A request has come."""
        self._waits_since = None
        self._has_been_told = False

    def close_if_idle(self, stopping_since: float) -> None:
        """Close it if no request has come for a moment. What has come already will still be read and answered."""
        since = self._waits_since
        if since is not None and time.monotonic() - max(since, stopping_since) >= _LAST_WAIT_S:
            self._shut(socket.SHUT_RD)

    def give_way(self) -> bool:
        """Close it if nothing has been asked on it; whether that was so."""
        if self._waits_since is None:
            return False
        self._shut(socket.SHUT_RDWR)
        return True

    def end_if_left(self) -> None:
        """End what runs on it if its client has hung up. While the app gives out pieces, writing tells that sooner."""
        if self.is_in_app and not self._has_been_told and self._has_left():
            gevent.get_hub().loop.run_callback(self._end_left)

    def _has_left(self) -> bool:
        try:
            # The socket below gevent's: it does not wait. What came early, the next request say, stays where it is.
            return bool(self.client._sock.recv(1, socket.MSG_PEEK) == b"")
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _end_left(self) -> None:
        if self.is_in_app and self._waits_since is None and not self._greenlet.dead:
            self._has_been_told = True  # once: what cleans up after it shall not be disturbed
            self._greenlet.throw(ClientGone())

    def end(self) -> None:
        """End what runs on it: with an error that the app can tell, where it is the app that is waiting."""
        # From the event loop, which no greenlet runs beside: what is decided upon is still so when it is done.
        gevent.get_hub().loop.run_callback(self._end)

    def _end(self) -> None:
        if self._waits_since is not None:
            self._shut(socket.SHUT_RDWR)
        elif self._greenlet.dead:
            return
        elif self.is_in_app:
            self._greenlet.throw(RestartingError("Connection lost: the bridge restarts; try again.", retry_after="1"))
        else:  # the client does not read
            self._greenlet.throw(gevent.GreenletExit())

    def _shut(self, how: int) -> None:
        with contextlib.suppress(OSError):  # the client was faster
            # Not gevent's own: that throws an error into whoever reads, and who reads shall see the end instead.
            self.client._sock.shutdown(how)


class Worker(GeventWorker):  # type: ignore[misc]
    """See the module. Written for gunicorn 26: `run` takes the place of the one it inherits."""

    wsgi: Any

    # For the master; it never reads them in the worker's process.
    generation = 0
    is_leaving = False

    # Where the workers tell each other their numbers; the master says so.
    numbers: Any = None

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._connections: dict[Any, Connection] = {}

    @property
    def gateway(self) -> Any:
        """The services of the app that it serves, also from within what others wrap around it; None for an app that is
        none of ours."""
        app: Any = getattr(self, "_app", None)  # in the master, and where it could not be loaded, there is none
        for _ in range(_MOST_WRAPPERS):
            if hasattr(app, "extensions"):
                return app.extensions.get("gateway")
            app = next((inner for name in _WRAPPED if (inner := getattr(app, name, None)) is not None), None)
        return None

    @property
    def is_up(self) -> bool:
        """Whether it serves. For the master, which shares this file with it."""
        return os.fstat(self.tmp.fileno()).st_size > 0

    # ── start ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def init_process(self) -> None:
        gc.disable()  # hardly anything that a start makes is garbage: to look for it took a tenth of the start
        # Until the worker can stop in order, a signal to stop just ends it; it serves nobody yet.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Settings change in the master alone, and are asked for some twenty times a request: not through their objects.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        head_with_body.install()
        super().init_process()

    def patch(self) -> None:
        with _installed_as_of_now():
            super().patch()

    def init_signals(self) -> None:
        super().init_signals()
        self._is_told = Event()
        # Runs in the event loop, where it may wake whoever waits.
        self._watcher = gevent.signal_handler(signal.SIGTERM, self._stop)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self._app: Any = self.wsgi
        self.wsgi = self._watched
        _keep_what_is_here()

    def run(self) -> None:
        self._guests = Guests(
            most=self.worker_connections, most_per_address=self._most_per_address(), on_crowd=self._tell_crowd
        )
        self._in_progress = 0
        self._turns = Turns(lambda: self._in_progress)
        # Room for those who come while one that has to give way is still on its way out.
        pool = Pool(self.worker_connections + 2 * RESERVE)
        servers = [StreamServer(s, handle=partial(self.handle, _Named(s)), spawn=pool) for s in self.sockets]
        for server, listener in zip(servers, self.sockets, strict=True):
            listener.setblocking(1)
            # At a time: with several workers the others shall have some as well.
            server.max_accept = 1 if self.cfg.workers > 1 else _ACCEPTED
            server.start()
        os.write(self.tmp.fileno(), b"1")
        looking = [gevent.spawn(self._look_for_those_who_left), gevent.spawn(self._tidy), gevent.spawn(self._tell)]
        gevent.spawn(self._hold_ahead)  # ends by itself: nobody shall cut it off within a transaction
        while self.alive:
            self.notify()
            self._is_told.wait(1.0)
        for server in servers:
            self._accept_who_waits(server)
            server.close()
        self.log.info("Worker stops accepting (pid: %s); %s connections are open", self.pid, len(pool))
        if not self._drained(pool):
            self._end_all(pool)
        gevent.killall(looking, block=False)

    def _look_for_those_who_left(self) -> None:
        while True:
            gevent.sleep(_LOOK_S)
            for connection in list(self._connections.values()):
                connection.end_if_left()

    def _tidy(self) -> None:
        while True:
            gevent.sleep(_TIDY_S)
            if self.gateway is not None:
                self.gateway.tidy()
            give_back()

    def _hold_ahead(self) -> None:
        if self.gateway is not None:
            self.gateway.client_keys.hold_ahead(lambda: self.alive)

    def _tell(self) -> None:
        while self.gateway is not None:
            gevent.sleep(_TELL_S)
            self.gateway.metrics.tell()

    # ── serve ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        me = gevent.getcurrent()
        client = ClientSocket.taking(client)
        address = addr[0] if isinstance(addr, tuple) else ""
        self._connections[me] = Connection(client, self._guests.enter(address))
        try:
            self._make_room()
            super().handle(listener, client, addr)
        finally:
            del self._connections[me]
            self._guests.leave(address)

    def _make_room(self) -> None:
        """Of those who are too many, the oldest that has not asked for anything yet goes first."""
        surplus = [connection for connection in self._connections.values() if connection.surplus]
        if len(surplus) > RESERVE:
            next((connection for connection in surplus if connection.give_way()), None)

    def _most_per_address(self) -> int:
        settings = getattr(self.gateway, "settings", None)
        if settings is None or settings.trusted_proxies:  # they all come from the proxy, which counts them itself
            return 0
        return int(settings.connections_per_address)

    def _tell_crowd(self, reason: Surplus, network: str) -> None:
        if reason == "full":
            logger.warning(
                "this worker has as many connections as WORKER_CONNECTIONS allows (%s); others get a 503",
                self.worker_connections,
            )
        else:
            fields = {"address": network, "most": self._most_per_address()}
            logger.warning("more connections than CONNECTIONS_PER_ADDRESS allows", extra={"fields": fields})

    def timeout_ctx(self) -> Any:
        """gunicorn asks for this just before it waits for a request."""
        connection = self._connections[gevent.getcurrent()]
        connection.waits()
        return gevent.Timeout(_SURPLUS_S, False) if connection.surplus else super().timeout_ctx()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        connection = self._connections[gevent.getcurrent()]
        connection.serves()
        connection.body = req.unreader.sock = PacedBody(sock)
        usual_bytes, req.unreader.mxchunk = req.unreader.mxchunk, PIECE_BYTES
        req.body = BodyInPieces(req.body, connection.body)
        self._in_progress += 1
        try:
            super().handle_request(listener_name, req, sock, addr)
        except ClientGone:
            raise StopIteration from None  # gunicorn's word for: close the connection
        finally:
            self._in_progress -= 1
            req.unreader.sock, req.unreader.mxchunk = sock, usual_bytes

    def _watched(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The app, and it is known all the time whether its code runs."""
        connection = self._connections[gevent.getcurrent()]

        def start(*given: Any, **more: Any) -> Any:
            is_spent = connection.surplus or (connection.body is not None and connection.body.is_given_up)
            if not self.alive or is_spent:
                # Also for a request that came before: the client must not send another on this connection.
                environ["bridge.close"]()
            return start_response(*given, **more)

        response = getattr(start_response, "__self__", None)  # gunicorn's
        if response is not None:
            environ["bridge.copier"] = StreamCopier(response, connection.client, connection.set_in_app)
        environ["bridge.close"] = getattr(response, "force_close", lambda: None)
        environ["bridge.body"] = connection.body
        environ["bridge.surplus"] = connection.surplus
        environ["bridge.stops"] = self._is_stopping
        environ["bridge.turn"] = self._turns.take
        connection.is_in_app = True
        try:
            return _Watched(self._app(environ, start), connection)
        finally:
            connection.is_in_app = False

    # ── stop ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _is_stopping(self) -> bool:
        return not self.alive

    def _stop(self) -> None:
        self.alive = False
        self._is_told.set()

    def _accept_who_waits(self, server: StreamServer) -> None:
        """Whoever is connected to the port already: if nobody else holds it, closing it would cut them off."""
        for _ in range(self.cfg.backlog):
            if server.full() or not (arrived := server.do_read()):
                return
            server.do_handle(*arrived)

    def handle_abort(self, _sig: int, _frame: Any) -> None:
        """The master saw no heartbeat: some code does not yield. No time to be polite, another worker must come."""
        self.cfg.worker_abort(self)
        os._exit(1)

    def _drained(self, pool: Pool) -> bool:
        """Let what runs come to its end; whether it did in time."""
        began = time.monotonic()
        while not pool.join(timeout=_TICK_S):
            if time.monotonic() - began >= self.cfg.graceful_timeout - FAREWELL_S:
                return False
            self.notify()
            for connection in list(self._connections.values()):
                connection.close_if_idle(began)
        return True

    def _end_all(self, pool: Pool) -> None:
        self.log.warning("%s connections are still in use at the end of GRACEFUL_TIMEOUT_S: ended", len(pool))
        until = time.monotonic() + FAREWELL_S - 2
        while time.monotonic() < until:
            # Again, because some code of the app takes one error for that of a part, and goes on without the part.
            for connection in list(self._connections.values()):
                connection.end()
            self.notify()
            if pool.join(timeout=_END_AGAIN_S):
                return
        pool.kill(block=True, timeout=1)


def _keep_what_is_here() -> None:
    """What a start has made stays until the worker ends. Whoever looks for garbage passes over it from now on: to go
    through it took 30 ms each time, in which no stream was served. The little of it that is garbage stays as well: to
    look for it took twice as long, a twelfth of the start."""
    gc.freeze()
    gc.enable()


@contextlib.contextmanager
def _installed_as_of_now() -> Iterator[None]:
    """What is installed is looked up once. gevent asks for those who want to hear of it with each module that it
    patches, which reads files of all packages some 25 times: a fifth of a worker's start."""
    asks = metadata.entry_points
    metadata.entry_points = asks().select
    try:
        yield
    finally:
        metadata.entry_points = asks


class _Named:
    """The name of a listener, which gunicorn asks for with each connection: also when it has been closed since."""

    def __init__(self, listener: socket.socket) -> None:
        self._name = listener.getsockname()

    def getsockname(self) -> Any:
        return self._name


class _Watched:
    """An answer of the app, piece by piece; the connection knows when the app is at work on the next."""

    def __init__(self, answer: Iterable[bytes], connection: Connection) -> None:
        self._answer = answer
        self._connection = connection

    def __iter__(self) -> Iterator[bytes]:
        pieces = iter(self._answer)
        while True:
            self._connection.is_in_app = True
            try:
                piece = next(pieces, None)
            finally:
                self._connection.is_in_app = False
            if piece is None:
                return
            yield piece

    def close(self) -> None:
        close = getattr(self._answer, "close", None)
        if close is not None:
            close()
