"""Gates: streams wait at them until a test lets them pass ("slow headers" of contract §13.10, step-by-step streams)."""

import socket
import threading
from dataclasses import dataclass, field

from .server import ClientGone, pause


@dataclass
class Gate:
    permits: int = 0
    open: bool = False
    waiters: list[socket.socket] = field(default_factory=list)


class Gates:
    """Named counting gates. ``cond`` is the world's condition, notified when somebody starts or stops waiting."""

    def __init__(self, cond: threading.Condition) -> None:
        self.cond = cond
        self.gates: dict[str, Gate] = {}

    def waiting(self) -> dict[str, int]:
        with self.cond:
            return {name: len(gate.waiters) for name, gate in self.gates.items()}

    def release(self, name: str, count: int | None) -> None:
        """Let ``count`` waits pass, now or later; None opens the gate for good."""
        with self.cond:
            gate = self.gates.setdefault(name, Gate())
            if count is None:
                gate.open = True
                count = len(gate.waiters)
                gate.permits = 0
            else:
                gate.permits += max(0, count - len(gate.waiters))
            for waiter in gate.waiters[:count]:
                waiter.send(b"1")
            del gate.waiters[:count]
            self.cond.notify_all()

    def abandon(self) -> None:
        """Reset: everybody who waits gives up."""
        with self.cond:
            for gate in self.gates.values():
                for waiter in gate.waiters:
                    waiter.send(b"0")
                gate.waiters.clear()
            self.gates = {}
            self.cond.notify_all()

    def wait(self, name: str, client: socket.socket, give_up_after: float) -> bool:
        """True when released, False after the time limit or a reset; raises ClientGone when the client hung up."""
        reader, writer = socket.socketpair()
        try:
            with self.cond:
                gate = self.gates.setdefault(name, Gate())
                if gate.open:
                    return True
                if gate.permits:
                    gate.permits -= 1
                    return True
                gate.waiters.append(writer)
                self.cond.notify_all()
            try:
                got = pause(client, give_up_after, reader)
            except ClientGone:
                with self.cond:
                    if writer not in gate.waiters:
                        gate.permits += 1  # released in the same instant: keep the permit for the next one
                raise
            finally:
                with self.cond:
                    if writer in gate.waiters:
                        gate.waiters.remove(writer)
                    self.cond.notify_all()
            return got == b"1"
        finally:
            reader.close()
            writer.close()
