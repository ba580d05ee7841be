"""From the plan of an epoch to tensors on the device: latents, captions and draws, prepared a few batches ahead.

Whether something comes from a cache never changes what it is: every number is a function of the photo, its view, the
caption and the seed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch

from lib_lora_train.train import cache
from lib_lora_train.train.base.family import BaseModel
from lib_lora_train.train.base.load import check_latents
from lib_lora_train.train.cache import Cache
from lib_lora_train.train.config import TrainConfig
from lib_lora_train.train.dataset import captions, pixels
from lib_lora_train.train.dataset.buckets import place
from lib_lora_train.train.dataset.epochs import Batch, Item, Plan
from lib_lora_train.train.dataset.photos import Photo
from lib_lora_train.train.dataset.pixels import View
from lib_lora_train.train.draws import Draws, Occasion, draw_sample
from lib_lora_train.train.step import Inputs

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 3
"""Batches prepared ahead."""
MOST_CONTEXTS = 4096
"""Captions that are encoded before the run; with more of them the text encoder stays on the device."""
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and of how many."""


@dataclass(frozen=True)
class Prepared:
    """A batch as far as it can be made without the device."""

    items: tuple[Item, ...]
    views: tuple[View, ...]
    captions: tuple[str, ...]
    draws: tuple[Draws, ...]
    pictures: tuple[Any, ...]
    """Pixels [h, w, 3] of photos whose latents are not kept, else empty."""


@dataclass
class Feed:
    """Makes `Inputs` of batches. `train_text` says whether captions go in as tokens or encoded."""

    base: BaseModel
    config: TrainConfig
    device: torch.device
    train_text: bool
    latents: Cache
    texts: Cache
    _identities: dict[str, str] = field(init=False)
    _threads: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._identities = {"vae": cache.fingerprint(self.base.vae), "text": cache.fingerprint(self.base.text_encoder)}
        self._threads = ThreadPoolExecutor(max_workers=self.config.loop.loader_threads or 2, thread_name_prefix="feed")

    @property
    def keeps_latents(self) -> bool:
        """Whether photos are encoded once, rather than at each showing."""
        return self.config.cache.latents != "off" and pixels.is_cacheable(self.config.dataset)

    def stream(self, groups: Iterable[Sequence[Batch]], epoch: int) -> Iterator[list[Inputs]]:
        """The inputs of each group of batches, in order, prepared ahead in threads."""
        for group in self._ahead(lambda group: [self.prepare(batch, epoch) for batch in group], groups):
            yield [self.finish(prepared) for prepared in group]

    def prepare(self, batch: Batch, epoch: int) -> Prepared:
        """Views, captions and draws of a batch in `epoch` (from 1), and pixels where they are needed."""
        config = self.config
        shape = (self.base.vae.config.latent_channels, batch.bucket[1] // 8, batch.bucket[0] // 8)
        views = [
            pixels.view(item.photo, item.placement, config.dataset, item.repeat, epoch, config.seed)
            for item in batch.items
        ]
        return Prepared(
            items=batch.items,
            views=tuple(views),
            captions=tuple(self.caption(item, epoch) for item in batch.items),
            draws=tuple(
                draw_sample(Occasion(config.seed, _who(item.photo), item.repeat, epoch), shape, config.objective)
                for item in batch.items
            ),
            pictures=()
            if self.keeps_latents
            else tuple(
                pixels.load(item.photo, view, config.dataset) for item, view in zip(batch.items, views, strict=True)
            ),
        )

    def finish(self, prepared: Prepared) -> Inputs:
        """The batch on the device."""
        encoded = [self._latent(prepared, index) for index in range(len(prepared.items))]
        perturbations = [draw.perturbation for draw in prepared.draws if draw.perturbation is not None]
        inputs = Inputs(
            mean=torch.stack([latent["mean"] for latent in encoded]),
            deviation=torch.stack([latent["deviation"] for latent in encoded]),
            posterior=torch.stack([draw.posterior for draw in prepared.draws]),
            noise=torch.stack([draw.noise for draw in prepared.draws]),
            perturbation=torch.stack(perturbations) if perturbations else None,
            timesteps=torch.tensor([draw.timestep for draw in prepared.draws]),
            weights=torch.tensor([item.photo.weight for item in prepared.items]),
            ids=self._tokens(prepared.captions) if self.train_text else None,
            context=None if self.train_text else torch.cat([self.context(caption) for caption in prepared.captions]),
        )
        return inputs.to(self.device)

    def fixed(self, photo: Photo, timesteps: Sequence[int]) -> Inputs:
        """The photo on the device at `timesteps`, the same whenever it is asked for.

        It is seen as it stands, with its whole caption, its latents at their mean, and for each timestep noise of its
        own, which no step of training draws.
        """
        config, who = replace(self.config.objective, input_perturbation=0.0), f"{photo.identity} held out"
        caption, many = self._whole_caption(photo), len(timesteps)
        mean = self._kept(photo, self._still(photo))["mean"]
        channels, height, width = mean.shape
        drawn = [
            draw_sample(Occasion(self.config.seed, who, timestep, 0), (channels, height, width), config)
            for timestep in timesteps
        ]
        means = mean.expand(many, channels, height, width)
        inputs = Inputs(
            mean=means,
            deviation=torch.zeros_like(means),
            posterior=torch.zeros_like(means),
            noise=torch.stack([draw.noise for draw in drawn]),
            perturbation=None,
            timesteps=torch.tensor(timesteps),
            weights=torch.ones(many),
            ids=self._tokens([caption] * many) if self.train_text else None,
            context=None if self.train_text else self.context(caption).expand(many, -1, -1),
        )
        return inputs.to(self.device)

    def caption(self, item: Item, epoch: int) -> str:
        """What is said of the photo at this showing."""
        return captions.caption_for(
            item.photo, item.repeat, epoch, self.config.seed, self.config.dataset, self.config.trigger_prompt
        )

    @torch.no_grad()
    def context(self, caption: str) -> torch.Tensor:
        """The encoded caption [1, tokens, dim] on the CPU, from the cache or made now."""
        name = cache.key(
            "text",
            self._identities["text"],
            str(self.config.base.clip_skip),
            str(self.config.dataset.max_tokens),
            caption,
        )
        found = self.texts.get(name)
        if found is None:
            ids = self._tokens((caption,)).to(self.device)
            encoded = self.base.family.encode_text(self.base.text_encoder, ids, self.config.base.clip_skip)
            found = {"context": encoded.float().cpu()}
            self.texts.put(name, found)
        return found["context"]

    def fill(self, plan: Plan, epochs: int, progress: Progress, held_out: Collection[Photo] = ()) -> None:
        """Encode what is needed and the caches lack: the plan's photos, mirrored too where they may be, those that are
        held out, and captions.

        Raises NotFinite naming a photo whose latents are not numbers, DatasetError for one that cannot be read.
        """
        wanted = [(photo, self._still(photo)) for photo in held_out]
        if self.keeps_latents:
            flips = (False, True) if self.config.dataset.flip else (False,)
            shown = [
                *zip(plan.photos, plan.placements, strict=True),
                *zip(plan.regularisation, plan.regularisation_placements, strict=True),
            ]
            wanted += [(photo, View(placement, flip)) for photo, placement in shown for flip in flips]
        if wanted:
            missing = [(photo, view) for photo, view in wanted if self.latents.get(self._key(photo, view)) is None]
            pictures = self._ahead(lambda showing: pixels.load(*showing, self.config.dataset), missing)
            for done, ((photo, view), picture) in enumerate(zip(missing, pictures, strict=True)):
                progress("encoding photos", done, len(missing))
                self.latents.put(self._key(photo, view), self._encode(picture, photo.name))
            progress("encoding photos", len(wanted), len(wanted))
        if not self.train_text:
            self._fill_texts(plan, epochs, progress, held_out)

    def close(self) -> None:
        """Stop the threads; batches prepared ahead are dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _fill_texts(self, plan: Plan, epochs: int, progress: Progress, held_out: Collection[Photo]) -> None:
        needed = dict.fromkeys(map(self._whole_caption, held_out))
        for epoch in range(1, epochs + 1):
            for batch in plan.epoch(epoch).batches:
                needed.update(dict.fromkeys(self.caption(item, epoch) for item in batch.items))
            if len(needed) > MOST_CONTEXTS:
                return
        for done, caption in enumerate(needed):
            progress("encoding captions", done, len(needed))
            self.context(caption)
        progress("encoding captions", len(needed), len(needed))

    def _latent(self, prepared: Prepared, index: int) -> cache.Tensors:
        photo = prepared.items[index].photo
        if prepared.pictures:
            return self._encode(prepared.pictures[index], photo.name)
        return self._kept(photo, prepared.views[index])

    def _kept(self, photo: Photo, view: View) -> cache.Tensors:
        name = self._key(photo, view)
        found = self.latents.get(name)
        if found is None:  # the file was removed while we train
            found = self._encode(pixels.load(photo, view, self.config.dataset), photo.name)
            self.latents.put(name, found)
        return found

    def _still(self, photo: Photo) -> View:
        """The photo without any change that is drawn."""
        return View(place(photo.size, self.config.dataset))

    def _whole_caption(self, photo: Photo) -> str:
        """The caption of the first showing, with nothing dropped or shuffled."""
        config = self.config
        whole = replace(config.dataset, shuffle=False, caption_dropout=0.0, caption_dropout_every=0, tag_dropout=0.0)
        return captions.caption_for(photo, 0, 1, config.seed, whole, config.trigger_prompt)

    def _encode(self, picture: Any, name: str) -> cache.Tensors:
        """Mean and deviation [c, h, w]. One photo at a time, so that its numbers depend on nothing else."""
        batch = torch.from_numpy(picture).permute(2, 0, 1)[None].to(self.device, torch.float32) / 127.5 - 1
        mean, deviation = self.base.family.encode_images(self.base.vae, batch)
        check_latents(self.base, mean, name)
        return {"mean": mean[0].cpu(), "deviation": deviation[0].cpu()}

    def _key(self, photo: Photo, view: View) -> str:
        return cache.key("latent", self._identities["vae"], pixels.content_key(photo, view, self.config.dataset))

    def _tokens(self, texts: Sequence[str]) -> torch.Tensor:
        return self.base.family.tokenize(self.base.tokenizer, texts, self.config.dataset.max_tokens)

    def _ahead(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """The results of `work` in order, with a few tasks under way in the threads."""
        waiting: deque[Future[R]] = deque()
        for task in tasks:
            waiting.append(self._threads.submit(work, task))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _who(photo: Photo) -> str:
    """A photo's name for draws; the same picture used for training and regularisation counts as two."""
    return f"{photo.identity} regularisation" if photo.is_regularisation else photo.identity
