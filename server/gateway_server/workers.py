"""Several workers: forked from the first process, replaced when they die, and ended with it.

A fork is there in milliseconds, since all that a worker imports is there already, and shares that memory with the
others. The first process has neither threads nor connections when it forks: it does nothing but look after workers.
"""

import gc
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from gateway_server.serving import BEAT_SECONDS, Tie

SILENT_BEATS = 30
"""A worker that was silent for so many beats is hung: it is killed, and another takes its place."""

AGAIN_SECONDS = 1.0
"""Where workers die as soon as they begin, so much time is between one and the next."""

MARGIN_SECONDS = 10.0
"""So much longer than its requests under way a worker may take to end."""

CANT_BEGIN = 3
"""The exit code of a worker whose app can't begin, now or later: then all end."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)

_log = logging.getLogger("gateway_server")


@dataclass(slots=True, eq=False)
class _Worker:
    pid: int
    beats: int
    started: float
    silent: int = 0
    leaving: bool = False


class Workers:
    """The first process of several, on Linux.

    A worker that dies is replaced at once. SIGHUP replaces all of them. SIGTERM and SIGINT end all; where the first
    process is killed, its workers notice and end.

    Args:
        count: How many workers.
        work: What a worker does, to its end.
        listener: The socket from which all take connections.
        drain_seconds: How long requests under way may go on at the end.
    """

    def __init__(
        self, count: int, work: Callable[[Tie], None], listener: socket.socket, drain_seconds: float
    ) -> None:
        self._count = count
        self._work = work
        self._listener = listener
        self._drain_seconds = drain_seconds
        self._workers: list[_Worker] = []
        self._selector = selectors.PollSelector()
        self._life = os.pipe()
        self._woken = os.pipe()
        self._not_before = self._counted = 0.0
        self._ending = False
        self._code = 0

    def run(self) -> int:
        """Look after workers until a signal ends them; the exit code."""
        os.set_blocking(self._woken[0], False)
        os.set_blocking(self._woken[1], False)
        self._selector.register(self._woken[0], selectors.EVENT_READ)
        signal.set_wakeup_fd(self._woken[1])
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)  # the descriptor tells of it
        gc.collect()
        gc.freeze()  # the collector would write to all that is here, and then nothing of it is shared
        while not self._ending:
            self._fill()
            self._wait()
        self._end()
        return self._code

    def _fill(self) -> None:
        """Have as many workers as there should be, unless one died at once, or could not be made, a moment ago."""
        while self._missing() and time.monotonic() >= self._not_before:
            try:
                self._start()
            except OSError as problem:  # of processes, memory or descriptors there are none left
                _log.error("a worker can't be started: %s", problem.strerror)
                self._not_before = time.monotonic() + AGAIN_SECONDS

    def _missing(self) -> bool:
        return sum(not worker.leaving for worker in self._workers) < self._count

    def _wait(self) -> None:
        """Wait until something happens, or for a moment; take note of signals, of beats, and of those left out."""
        signals = b""
        for key, _ in self._selector.select(BEAT_SECONDS / 10 if self._missing() else BEAT_SECONDS):
            said = os.read(key.fd, 512)
            if key.fd == self._woken[0]:
                signals = said
            elif said:
                key.data.silent = 0
            else:
                self._selector.unregister(key.fd)  # it dies: SIGCHLD comes
        for number in signals:  # last, since they close what may just have been selected
            self._signalled(number)
        # In beats of this process, not in seconds: who was stopped with its workers has missed none of theirs.
        if time.monotonic() - self._counted > BEAT_SECONDS:
            self._counted = time.monotonic()
            for worker in self._workers:
                worker.silent += 1
                if worker.silent > SILENT_BEATS and not worker.leaving:
                    _log.error(
                        "the worker %d has been silent for %d s: it is killed", worker.pid, SILENT_BEATS
                    )
                    os.kill(worker.pid, signal.SIGKILL)

    def _signalled(self, number: int) -> None:
        if number == signal.SIGCHLD:
            for worker in list(self._workers):
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
                if pid:
                    self._died(worker, os.waitstatus_to_exitcode(status))
        elif number == signal.SIGHUP:
            if not self._ending:
                self._replace()
        elif self._ending and number == signal.SIGINT:
            self._tell(signal.SIGINT)  # wait no longer
        else:
            self._ending = True

    def _replace(self) -> None:
        """Let others take the place of all workers, which answer what they have and end."""
        for worker in self._workers:
            worker.leaving = True
        before = list(self._workers)
        self._fill()
        for worker in before:
            os.kill(worker.pid, signal.SIGTERM)

    def _died(self, worker: _Worker, code: int) -> None:
        self._workers.remove(worker)
        if worker.beats in self._selector.get_map():
            self._selector.unregister(worker.beats)
        os.close(worker.beats)
        if self._ending or worker.leaving:
            return
        if code == CANT_BEGIN:
            _log.error("a worker could not begin: all end")
            self._ending, self._code = True, 1
            return
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        _log.warning("the worker %d %s: another takes its place", worker.pid, how)
        self._not_before = worker.started + AGAIN_SECONDS

    def _end(self) -> None:
        """End all workers; those that take too long are killed."""
        self._listener.close()
        self._tell(signal.SIGTERM)
        until = time.monotonic() + self._drain_seconds + MARGIN_SECONDS
        while self._workers:
            self._wait()
            if time.monotonic() > until:
                self._tell(signal.SIGKILL)

    def _tell(self, number: signal.Signals) -> None:
        for worker in self._workers:
            worker.leaving = True
            os.kill(worker.pid, number)

    def _start(self) -> None:
        ours, theirs = os.pipe()
        # A signal between the fork and the worker's own handlers would be told to this process.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if not pid:
                os.close(ours)
                self._be_worker(theirs)
        except OSError:
            os.close(ours)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            os.close(theirs)
        worker = _Worker(pid, ours, time.monotonic())
        self._selector.register(ours, selectors.EVENT_READ, worker)
        self._workers.append(worker)

    def _be_worker(self, beats: int) -> NoReturn:
        code: object = 1
        try:
            for descriptor in (*self._woken, self._life[1], *(worker.beats for worker in self._workers)):
                os.close(descriptor)
            os.set_blocking(beats, False)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the first process sees to it
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._work(Tie(self._life[0], beats))
            code = 0
        except SystemExit as end:
            code = end.code
        except BaseException:  # noqa: BLE001 - whatever it is: this process must not go on as the first one
            traceback.print_exc()
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:  # also where nobody takes what is flushed
                os._exit(code if isinstance(code, int) else 0)
