"""TensorBoard scalars under kohya's names, so that old runs and new ones lie in one chart."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PART_NAMES = {"text_encoder": "textencoder", "unet": "unet"}


class Scalars:
    """Writes event files into `folder`, or nothing when it is None. Steps after `purge_step` of an older file are void.

    A disk that is full or gone ends the chart, not the run. So the library's SummaryWriter is not used: its thread dies
    of a full disk and the eleventh scalar after that waits for ever. It also writes `d*lr` as `d_lr`.
    """

    def __init__(self, folder: Path | None, purge_step: int) -> None:
        self._writer: Any = None
        self._events: Any = None
        self._summaries: Any = None
        if folder is None:
            return
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2, summary_pb2

        self._events, self._summaries = event_pb2, summary_pb2
        with self._while_there_is_room():
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = EventsWriter(str(folder / "events"))
            if purge_step:
                start = self._events.SessionLog(status=self._events.SessionLog.START)
                self._writer.write_event(
                    self._events.Event(step=purge_step + 1, wall_time=time.time(), session_log=start)
                )

    def step(
        self, step: int, loss: float, average: float, rates: Mapping[str, float], adapted: Mapping[str, float]
    ) -> None:
        """One optimizer step: the loss, its average over an epoch, the rates, and d * lr of adaptive optimizers."""
        named = {"loss/current": loss, "loss/average": average}
        named |= {f"lr/{PART_NAMES[part]}": rate for part, rate in rates.items()}
        named |= {f"lr/d*lr/{PART_NAMES[part]}": rate for part, rate in adapted.items()}
        self._write(step, named)

    def epoch(self, epoch: int, average: float, held_out: float | None = None) -> None:
        """The average loss of an epoch, and the loss on held-out photos at its end."""
        validation = {} if held_out is None else {"loss/validation/epoch_average": held_out}
        self._write(epoch, {"loss/epoch_average": average, **validation})
        if self._writer is not None:
            with self._while_there_is_room():
                self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            with self._while_there_is_room():
                self._writer.close()

    def _write(self, step: int, named: Mapping[str, float]) -> None:
        if self._writer is None:
            return
        values = [self._summaries.Summary.Value(tag=name, simple_value=value) for name, value in named.items()]
        with self._while_there_is_room():
            summary = self._summaries.Summary(value=values)
            self._writer.write_event(self._events.Event(step=step, wall_time=time.time(), summary=summary))

    @contextlib.contextmanager
    def _while_there_is_room(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._writer = None
