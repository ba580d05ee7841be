"""One grid from plan to page: what a renderer's owner (the command line, a WebUI's script) calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lib_lora_train.grid import compose, numbers, render, scores, scoring
from lib_lora_train.grid.discover import Run
from lib_lora_train.grid.layout import Layout, Look, Sheet
from lib_lora_train.grid.manifest import Done, Manifest
from lib_lora_train.grid.page import build
from lib_lora_train.grid.page.build import Findings
from lib_lora_train.grid.plan import Plan
from lib_lora_train.grid.recommend import recommend
from lib_lora_train.grid.render import Estimate, Renderer
from lib_lora_train.grid.scores import Score, Scorer

PUBLISH_EVERY_S = 3.0
_WORDS: Mapping[str, tuple[str, str]] = {
    "steps": ("{} steps", ""),
    "cfg_scale": ("CFG {}", ""),
    "sampler_name": ("{}", ""),
    "scheduler": ("{}", ""),
    "clip_skip": ("clip skip {}", ""),
    "vae": ("VAE {}", ""),
    "subseed_strength": ("variation {}", ""),
    "refiner": ("refiner {}", ""),
    "tiling": ("tiling", ""),
    "restore_faces": ("restored faces", ""),
    "hr_scale": ("hires {}x", "enable_hr"),
    "hr_upscaler": ("{}", "enable_hr"),
    "denoising_strength": ("denoising {}", "enable_hr init_images"),
    "init_images": ("from a picture", ""),
    "renderer": ("{}", ""),
}
"""What a heading says of the settings that matter to who looks at it, in this order; the second word names settings of
which one has to be on. The manifest holds all of them."""
_UNSAID = frozenset({"Automatic", "None", "none"})


@dataclass(frozen=True)
class Outcome:
    """What a grid made."""

    page: Path
    sheets: tuple[Path, ...]
    failures: int
    findings: Findings


def _word(name: str, settings: Mapping[str, object]) -> str:
    """A setting for a heading, "" where it changes nothing."""
    words, needs = _WORDS[name]
    value = settings.get(name)
    acts = not needs or any(settings.get(one) for one in needs.split())
    value = f"{value:g}" if isinstance(value, float) else value
    return words.format(value) if acts and value and str(value) not in _UNSAID else ""


@dataclass
class Session:
    """A plan in its folder. The page is there from the first picture on, the sheets at the end."""

    plan: Plan
    run: Run
    folder: Path
    look: Look = field(default_factory=Look)
    manifest: Manifest = field(init=False)
    _scores: Mapping[str, Score] = field(default_factory=lambda: dict[str, Score](), init=False)
    _scorer: str = field(default="", init=False)
    _published: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.manifest = Manifest.open(self.folder)

    @property
    def subtitle(self) -> str:
        """Checkpoints and settings in one line."""
        request = self.plan.request
        width, height = self.plan.size
        varied = {axis.name for axis in request.axes}
        words = [_word(name, request.settings) for name in _WORDS if name not in varied]
        checkpoints = ", ".join(checkpoint.name for checkpoint in request.checkpoints)
        return "  ·  ".join([checkpoints, f"{width} x {height}", *filter(None, words)])

    def layout(self) -> Layout:
        """The sheets as they will be."""
        return Layout(self.plan, self.look, build.figures_of(self.plan, self.findings()))

    def estimate(self) -> Estimate:
        """What the grid will take. Raises DiskError when it does not fit on the disk."""
        found = render.estimate(self.plan, self.manifest, self.sheets(), self.look.format)
        render.require_space(found, self.manifest)
        return found

    def sheets(self) -> Sequence[Sheet]:
        """Every sheet and its size."""
        return self.layout().sheets()

    def findings(self) -> Findings:
        """The numbers there are, and what they speak for."""
        epochs = self.plan.request.epochs
        losses = numbers.losses(epochs, self.run.job)
        standings = scores.standings(self.plan, self._scores)
        return Findings(losses, standings, recommend(epochs, standings, losses, self._scorer), self._scorer)

    def draw(self, renderer: Renderer, told: Callable[[Done, int, int], None], most: int = 8) -> int:
        """Draw what is missing, publishing now and then. Returns the number of failures."""

        def record(done: Done, count: int, total: int) -> None:
            if time.monotonic() - self._published > PUBLISH_EVERY_S:
                self.publish()
            told(done, count, total)

        self.publish()
        try:
            return render.draw_missing(self.plan, self.manifest, renderer, record, most)
        finally:
            self.publish()  # also after Ctrl+C, so that the page shows what there is

    def score(self, scorer: Scorer, photos: Sequence[Path], told: Callable[[int, int], None]) -> None:
        """Measure every picture. Raises DiskError."""
        self._scores = scoring.score_all(self.plan, self.manifest, scorer, photos, told)
        self._scorer = scorer.name

    def publish(self) -> Path:
        """Write the page, `manifest.json` and `cells.csv` as things stand. Raises DiskError."""
        findings = self.findings()
        self.manifest.export(self.plan, {"run": self.run.name, "recommendation": findings.recommendation.sentence})
        page = build.write(self.plan, self.manifest, findings, self.subtitle)
        self._published = time.monotonic()
        return page

    def finish(self) -> Outcome:
        """Write the page and the sheets. Raises DiskError."""
        page, findings = self.publish(), self.findings()
        found = findings.recommendation
        words = compose.Words(
            self.run.name, (self.subtitle, found.grounds[0] if found.epoch is not None else ""), found.epoch
        )
        sheets = compose.write_sheets(self.layout(), self.manifest, words)
        failures = sum(1 for cell in self.plan.cells if self.manifest.picture(cell.key) is None)
        return Outcome(page, tuple(sheets), failures, findings)
