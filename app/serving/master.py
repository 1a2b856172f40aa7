"""gunicorn's master, but for the way it reloads (HUP).

Settings, keys and the env file are read anew, and a new generation of workers is started; the one before goes on
serving until the new one does. What cannot be used changes nothing: a bad value, or workers that do not come up.
"""

from __future__ import annotations

import dataclasses
import itertools
import sys
import time
from signal import SIGTERM
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import AppImportError, HaltServer
from gunicorn.util import import_app

from app.errors import GatewayError
from app.logs import logger
from app.serving.options import options
from app.settings import NEED_A_RESTART, Environment, Settings, SettingsError, differences

_TRY_AGAIN_S = 5.0


class Service(BaseApplication):  # type: ignore[misc]
    """What gunicorn runs. wsgi: another application around ours, as ``module:name``."""

    def __init__(self, environment: Environment, settings: Settings, wsgi: str | None = None) -> None:
        self.settings = settings
        self._environment = environment
        self._wsgi = wsgi
        super().__init__()

    def load_config(self) -> None:
        for name, value in options(self.settings).items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The WSGI application; gunicorn calls this in the worker. Raises: AppImportError with one line."""
        if self._wsgi is not None:
            return import_app(self._wsgi)
        # By name and not before: the worker has patched the standard library only now.
        create_app = import_app("app:create_app")
        try:
            return create_app(self.settings)
        except GatewayError as error:
            raise AppImportError(f"copilot-bridge: {error.message}") from error

    def reload(self) -> list[str]:
        """Read the settings anew; the names of those that changed. Raises: SettingsError, and nothing has changed."""
        before = self.settings
        read = self._environment.load()
        changed = differences(before, read)
        # The address stays: moving it would cut off who is connected, and behind a socket of systemd's it is not ours.
        self.settings = dataclasses.replace(read, host=before.host, port=before.port)
        self.do_load_config()
        return changed

    def go_back(self, settings: Settings) -> None:
        """Take these settings again, which were read before."""
        self._environment.go_back()
        self.settings = settings
        self.do_load_config()

    def check(self) -> None:
        """Build everything as a worker would. Raises: SystemExit with one line if that fails."""
        try:
            self.cfg.worker_class  # noqa: B018 - imports it
            self.load()
        except AppImportError as error:
            sys.exit(str(error))

    def run(self) -> None:
        Master(self).run()


class Master(Arbiter):  # type: ignore[misc]
    """See the module. Written for gunicorn 26: it decides otherwise which workers there are, and signals as it does."""

    app: Service

    def __init__(self, app: Service) -> None:
        self._numbers = itertools.count(1)
        self._generation = 0
        self._before: tuple[int, Settings] | None = None
        self._no_birth_until = 0.0
        super().__init__(app)

    def reload(self) -> None:
        settings = self.app.settings
        try:
            changed = self.app.reload()
        except SettingsError as error:
            logger.error("not reloaded, the service goes on as before: %s", error)
            return
        self.setup(self.app)
        self._before = (self._generation, settings)
        self._generation = next(self._numbers)
        held = [name for name in changed if name in NEED_A_RESTART]
        fields = {"changed": [name for name in changed if name not in held]}
        logger.info("settings are read anew", extra={"fields": fields})
        if held:
            logger.warning("these settings change with a restart only", extra={"fields": {"settings": held}})
        self.manage_workers()

    def manage_workers(self) -> None:
        """Keep up the number of this generation; once it is up, those before may leave."""
        serving = [it for it in self.WORKERS.values() if it.generation == self._generation and not it.is_leaving]
        if time.monotonic() >= self._no_birth_until:
            for _ in range(self.num_workers - len(serving)):
                self.spawn_worker()
        if len(serving) >= self.num_workers and all(worker.is_up for worker in serving):
            staying = sorted(serving, key=lambda worker: worker.age)[-self.num_workers :]
            for worker in self.WORKERS.values():
                worker.is_leaving = worker not in staying
            if self._before is not None:
                logger.info("the new workers serve; those before leave when their answers have ended")
            self._before = None
        for pid, worker in list(self.WORKERS.items()):
            if worker.is_leaving:
                # Again each time: one that was just being born has not heard it.
                self.kill_worker(pid, SIGTERM)

    def spawn_worker(self) -> int:
        pid: int = super().spawn_worker()
        self.WORKERS[pid].generation = self._generation
        return pid

    def reap_workers(self) -> None:
        known = dict(self.WORKERS)
        try:
            super().reap_workers()
        except HaltServer as failure:
            if any(worker.is_leaving for pid, worker in known.items() if pid not in self.WORKERS):
                # One of a reload that was given up already. If it was another one, that will fail again.
                logger.info("a worker that was not wanted any more: %s", failure.reason)
            elif self._before is not None:
                self._go_back(failure.reason)
            elif any(worker.is_up and not worker.is_leaving for worker in self.WORKERS.values()):
                logger.error("one worker less: %s See the lines above.", failure.reason)
                self._no_birth_until = time.monotonic() + _TRY_AGAIN_S
            else:
                raise

    def _go_back(self, reason: str) -> None:
        """The new workers do not come up: keep those from before."""
        assert self._before is not None
        generation, settings = self._before
        for worker in self.WORKERS.values():
            worker.is_leaving = worker.is_leaving or worker.generation == self._generation
        self._generation, self._before = generation, None
        self.app.go_back(settings)
        self.setup(self.app)
        logger.error("not reloaded, the service goes on as before: %s See the lines above.", reason)
