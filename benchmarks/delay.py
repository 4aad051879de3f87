# SPDX-License-Identifier: GPL-3.0-or-later
"""A network that is far away: a TCP proxy on 127.0.0.1 that holds everything back, in both directions.

The kernel's own delay (netem) is missing from many machines. Bytes keep their distance in time, so the delay is one of
distance and not of bandwidth; what is held back at once is bounded. Connecting costs a round trip as well: what a client
sends is held back by one more.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

_CHUNK = 65536
_HELD = 256  # chunks that one direction of a connection holds back at most, 16 MiB


class DelayingProxy:
    """Passes connections to `port`, which it chooses itself, on to `target`. `round_trip` (seconds) may be changed.

    `turns` counts how often the client said something after the server had: round trips, but for that of connecting,
    when nothing overlaps and the delay keeps the turns apart.
    """

    def __init__(self, target: tuple[str, int], round_trip: float = 0.0) -> None:
        self.target, self.round_trip = target, round_trip
        self.port = 0
        self.turns = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there: asyncio.StreamWriter | None = None
        # A connection that either end drops ends here as it ends there, and shows in that end's own messages. Cancelled
        # is what close() does to what is left; asyncio would print it as an error of this callback.
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            try:
                await asyncio.sleep(self.round_trip)
                ours, theirs = self._speakers()
                back, there = await asyncio.open_connection(*self.target)
                await asyncio.gather(self._carry(reader, there, ours), self._carry(back, writer, theirs))
            finally:
                for end in (writer, there):
                    if end is not None:
                        end.close()
                self._tasks.discard(task)

    def _speakers(self) -> tuple[Callable[[], None], Callable[[], None]]:
        """What is to be called when the client of a connection speaks, and when its server does."""
        answered = False

        def client() -> None:
            nonlocal answered
            self.turns += answered
            answered = False

        def server() -> None:
            nonlocal answered
            answered = True

        return client, server

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, spoke: Callable[[], None]
    ) -> None:
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_HELD)
        sender = asyncio.create_task(self._send(held, writer))
        try:
            while True:
                data = await reader.read(_CHUNK)
                if data:
                    spoke()
                await held.put((self._loop.time() + self.round_trip / 2, data))
                if not data:
                    await sender
                    return
        finally:
            sender.cancel()

    async def _send(self, held: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        while True:
            due, data = await held.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            if not data:
                writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
