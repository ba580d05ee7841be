"""Drawing and training take turns on the card: a job of the WebUI holds the card's lock for as long as it runs.

A job ends when the WebUI's own queue lock is given back, however it ends, and what works under one hold of it (the cells
of an X/Y/Z plot, an epoch grid, a batch of img2img) is one job. Only a trainer keeps a WebUI waiting, never another
WebUI. Nothing here may cost a picture: where there is no card, or no lock can be had, drawing goes on.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files import locks
from lib_lora_train.host import memory
from lib_lora_train.host.modules import needed
from lib_lora_train.host.settings import SHARE
from lib_lora_train.jobs import control
from lib_lora_train.train import card_lock
from lib_lora_train.train.card_lock import CardBusy, Holder
from lib_lora_train.train.job import Job

if TYPE_CHECKING:
    from lib_lora_train.host.webui import WebUI

log = logging.getLogger("lora_loop")
_ours = threading.Event()
"""Set while a job of this process has its turn."""
_warned = threading.Event()


def take(host: WebUI) -> str:
    """Take the card for the job that begins under the WebUI's queue lock; a job inside it goes on with the same turn.

    Gives a notice when the picture is drawn beside a training, else "". Raises CardBusy when a trainer has the card and
    the person does not want both at once.
    """
    if _ours.is_set() or not host.card:
        return ""
    try:
        return _take(host)
    except CardBusy:
        threading.Thread(target=memory.free, name="lora-loop-free", daemon=True).start()  # should it have loaded one
        raise
    except Exception as error:  # our own fault never costs a picture
        if not _warned.is_set():
            _warned.set()
            log.warning("The card cannot be locked against training (%s); pictures are drawn all the same.", error)
        return ""


def _take(host: WebUI) -> str:
    claim = card_lock.lock(host.card)
    taken = card_lock.take(claim, f"drawing in {host.name}")
    other = None if taken else card_lock.holder(host.card)
    notice = ""
    if other is not None and other.is_trainer:
        if not host.option(SHARE.name, False):
            raise CardBusy(
                f"The card is busy {_figures(host, other)}: pause that in the Train tab, "
                f"or switch on '{SHARE.label}' in the settings, under LoRA Loop."
            )
        notice = f"The card is also {_figures(host, other)}."
    _ours.set()
    threading.Thread(target=_give_back, args=(claim,), name="lora-loop-turn", daemon=True).start()
    return notice


def _give_back(claim: locks.Lock) -> None:
    """Wait until the job is over, and let a trainer begin."""
    with needed("modules.call_queue").queue_lock:
        claim.release()
        _ours.clear()


def _figures(host: WebUI, trainer: Holder) -> str:
    """ "training ohwx-man (step 120 of 1,500, 5.2 GB; 6.9 of 8.0 GB of the card are in use)"."""
    return f"{trainer.purpose} ({'; '.join(filter(None, (_progress(trainer), host.card_memory()))) or 'starting'})"


def _progress(trainer: Holder) -> str:
    """The trainer's last step and its memory, from its job's folder; "" before the first step."""
    try:
        job = Job(Path(trainer.place))
        last, steps = control.last_event(job, "step"), job.read().get("steps", 0)
        number, used = last["step"], last.get("memory") or 0
        return f"step {number:,}" + (f" of {steps:,}" if steps else "") + (f", {used / 1e9:.1f} GB" if used else "")
    except (LoraLoopError, OSError, KeyError, TypeError, ValueError):
        return ""


def spare_the_start(host: WebUI) -> None:
    """Let a WebUI that starts beside a training load no model yet; the first picture loads it."""
    try:
        found = card_lock.holder(host.card) if host.card else None
    except OSError:
        return
    if found is not None and found.is_trainer:
        host.shared.cmd_opts.skip_load_model_at_start = True


def register(host: WebUI) -> None:
    """Make the WebUI known to trainers, which have its memory freed before they begin; however often it is called."""
    try:
        if host.card:
            memory.tenant(host.card).start()
    except Exception as error:  # a WebUI starts also where no lock can be had
        log.warning("Trainers cannot ask this WebUI for the card's memory (%s).", error)
