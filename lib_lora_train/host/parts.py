"""Making a job in parts: a sub-job of the WebUI for each set of settings, and everything put back in order.

A sub-job is an ordinary job with those settings, so its pictures and their texts are what the WebUI makes of them by
itself, on every WebUI, and whatever it changes the WebUI puts back. The person's own job then makes nothing and hands
over what the sub-jobs made.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lib_lora_train.host import infotext, settings
from lib_lora_train.host.shots import HIRES, HIRES_NEGATIVE, Shot
from lib_lora_train.host.webui import WebUI
from lib_lora_train.keywords.plan import Needs, Part, Plan, plan
from lib_lora_train.prompt import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from lib_lora_train.host.other_extensions import Guard

LATENT_NOISE = 2
"""`inpainting_fill`: the WebUI fills every batch with the noise of the first, so each batch is made alone."""


@dataclass
class Own:
    """What a job of ours carries on `p.lora_loop`: the shots it makes, in its order, or the finished results.

    `owner` is the job's `id`: a copy that another script makes of the job is not ours. `before` are the attributes to be
    put back, because somebody may run the same job again (img2img's batch, loops). `part` is a sub-job, `whole` a job
    whose images all have the first shot's text (the frames of a video). `each` are the fields of the images' texts.
    """

    owner: int
    shots: Sequence[Shot] = ()
    fields: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    results: Results | None = None
    before: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    notes: list[str] = field(default_factory=lambda: list[str]())
    part: bool = False
    whole: bool = False
    each: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    guard: Guard | None = None


@dataclass
class Folder:
    """What a job of img2img's Batch tab carries on `p.lora_loop_folder`: the picture that it is at, and its number."""

    owner: int
    picture: Any
    number: int = 0


@dataclass
class Results:
    """What the sub-jobs made: for each image its pictures and its text; what else they gave; the first one's record."""

    pictures: dict[int, list[Any]] = field(default_factory=lambda: dict[int, list[Any]]())
    texts: dict[int, str] = field(default_factory=lambda: dict[int, str]())
    others: list[Any] = field(default_factory=lambda: list[Any]())
    more: list[Any] = field(default_factory=lambda: list[Any]())
    records: dict[int, Any] = field(default_factory=lambda: dict[int, Any]())
    notes: list[str] = field(default_factory=lambda: list[str]())


def planned(host: WebUI, p: Any, shots: Sequence[Shot], batch_size: int) -> Plan:
    """The batches of a job."""
    page = (host.checkpoint_of(p), host.vae_of(p))
    needs = [_needs(shot, page, _start(p, shot.number)) for shot in shots]
    alone = getattr(p, "inpainting_fill", None) == LATENT_NOISE and getattr(p, "image_mask", None) is not None
    if host.option(settings.EXACT.name, False):
        return plan(needs, 1, host.loaded(), hasattr(p, "init_images"))
    return plan(needs, batch_size, host.loaded(), alone)


def own_of(p: Any) -> Own | None:
    """What we have put on this very job."""
    found = getattr(p, "lora_loop", None)
    return found if isinstance(found, Own) and found.owner == id(p) else None


def picture_number(p: Any) -> int:
    """Which picture of a folder this run of the job is for: 0 for the first, and for every job without a folder.

    img2img's Batch tab runs one and the same job for each picture, all with one seed. A chosen script that runs its job
    again (for tiles, for loops) means the same prompt, so its runs are not counted.
    """
    pictures, arguments = getattr(p, "init_images", None), getattr(p, "script_args", None)
    if not pictures or (arguments and arguments[0]):
        return 0
    seen = getattr(p, "lora_loop_folder", None)
    if not isinstance(seen, Folder) or seen.owner != id(p):
        p.lora_loop_folder = seen = Folder(id(p), pictures[0])
    elif seen.picture is not pictures[0]:
        seen.picture, seen.number = pictures[0], seen.number + 1
    return seen.number


def own(host: WebUI, p: Any, shots: Sequence[Shot], words: str) -> Own:
    """What goes on the job that makes these shots."""
    recorded = bool(host.option(settings.RECORD.name, True))
    return Own(id(p), shots, infotext.fields(shots, words) if recorded else {})


def make(host: WebUI, p: Any, shots: Sequence[Shot], made: Plan) -> Results:
    """Run the parts one after the other. Raises what the WebUI raises; stops early when the person asks to."""
    results = Results()
    host.expect_batches(made.batches)
    for part in made.parts:
        if host.stopped():
            break
        chosen = [shots[number] for number in part.images]
        job = sub_job(host, p, chosen, part)
        job.lora_loop = own(host, job, chosen, made.words())
        job.lora_loop.part = True
        try:
            processed = host.process_images(job)
            gather(host, results, job, processed, part)
        finally:
            host.release(job)
    return results


def sub_job(host: WebUI, p: Any, shots: Sequence[Shot], part: Part) -> Any:
    """A copy of the person's job that makes `shots` with their settings."""
    job = copy.copy(p)
    host.own_lists(job)
    first = shots[0]
    job.batch_size, job.n_iter = part.batch_size, part.batches
    job.prompt, job.negative_prompt = first.texts[POSITIVE], first.texts[NEGATIVE]
    job.seed, job.subseed = first.seed, first.subseed
    job.styles = []
    job.do_not_save_grid = True
    if hasattr(job, "hr_prompt"):
        job.hr_prompt, job.hr_negative_prompt = first.texts[HIRES], first.texts[HIRES_NEGATIVE]
    if _several_starts(p):
        job.init_images = [p.init_images[_start(p, first.number)]]
    elif getattr(p, "init_images", None):
        job.init_images = [p.init_images[0]]
    host.apply(job, first.batch_values)
    return job


def gather(host: WebUI, results: Results, job: Any, processed: Any, part: Part) -> None:
    """Sort a finished sub-job's pictures and texts by image."""
    each = host.images_each(job)
    first = getattr(processed, "index_of_first_image", 0)
    pictures, texts = list(processed.images[first:]), list(processed.infotexts[first:])
    number = min(len(part.images), len(pictures) // each)
    for place, image in enumerate(part.images[:number]):
        results.pictures[image] = pictures[place * each : (place + 1) * each]
        results.texts[image] = texts[place] if place < len(texts) else ""
        results.records[image] = processed
    results.others += pictures[number * each :]
    results.more += getattr(processed, "extra_images", None) or []
    results.notes += [note for note in job.comments if note not in results.notes]


def hand_over(host: WebUI, p: Any, processed: Any, finished: Own) -> None:
    """Fill the empty result of the person's job with everything that was made, in the person's order."""
    results = finished.results
    assert results is not None
    if not results.pictures:
        return
    done = [shot for shot in finished.shots if shot.number in results.pictures]
    first = results.records[done[0].number]
    kept = {"comments": processed.comments}
    processed.__dict__.update({**first.__dict__, **kept})
    texts = [results.texts[shot.number] for shot in done]
    processed.images = [picture for shot in done for picture in results.pictures[shot.number]] + results.others
    processed.infotexts = texts
    processed.index_of_first_image = 0
    processed.all_prompts = [shot.texts[POSITIVE] for shot in done]
    processed.all_negative_prompts = [shot.texts[NEGATIVE] for shot in done]
    processed.all_seeds = [shot.seed for shot in done]
    processed.all_subseeds = [shot.subseed for shot in done]
    processed.batch_size = p.batch_size
    if hasattr(processed, "extra_images"):
        processed.extra_images = results.more
    grid = host.grid(
        p, [results.pictures[shot.number][0] for shot in done], texts[0], done[0].seed, done[0].texts[POSITIVE]
    )
    if grid is not None:
        processed.images.insert(0, grid)
        processed.infotexts = [texts[0], *texts]
        processed.index_of_first_image = 1
    processed.info = processed.infotexts[0]
    host.write_params(texts[0])


def _needs(shot: Shot, page: tuple[str, str], start: int) -> Needs:
    values = shot.batch_values
    loads = (str(values.pop("checkpoint", page[0])), str(values.pop("vae", page[1])))
    return Needs(loads, (tuple(sorted(values.items())), shot.tags, start))


def _several_starts(p: Any) -> bool:
    """Whether the images of a batch begin with different pictures."""
    images: list[Any] = getattr(p, "init_images", None) or []
    return len(images) > 1 and any(image is not images[0] for image in images)


def _start(p: Any, number: int) -> int:
    """Which of the given pictures an image begins with."""
    return number % len(p.init_images) if _several_starts(p) else 0
