"""Magic prompt: continue a prompt with a causal language model from a folder that the person has.

Nothing is ever downloaded. torch and transformers are imported at the first use only, and a missing one is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from lib_lora_train.prompt.errors import PromptError

_TAG = re.compile(r"<\w[\w.-]*:[^>]*>")
_SEED_BITS = 63


class MagicError(PromptError):
    """The language model cannot be used."""

    exit_code = 8


@dataclass(frozen=True)
class MagicPrompt:
    """Continues prompts with the model in `folder` (as `save_pretrained` writes it).

    `new_tokens` bounds the length, `creativity` is the temperature (0 always takes the likeliest word), and prompts
    that match `blocked` (a pattern) are drawn again up to `tries` times, then left as they were.
    """

    folder: Path
    new_tokens: int = 60
    creativity: float = 0.7
    blocked: str = ""
    tries: int = 5

    def continue_prompt(self, prompt: str, seed: int) -> str:
        """`prompt` and its continuation; extra-network tags (`<lora:…>`) stay out of the model and go to the end.

        The same seed gives the same text on the same machine. Raises MagicError.
        """
        tags = _TAG.findall(prompt)
        text = " ".join(_TAG.sub("", prompt).split())
        for attempt in range(self.tries):
            found = self._generate(text, seed + attempt)
            if not self.blocked or re.search(self.blocked, found, re.IGNORECASE) is None:
                return " ".join([found, *tags])
        return prompt

    def _generate(self, text: str, seed: int) -> str:
        tokenizer, model, torch = self._loaded
        inputs = tokenizer(text or tokenizer.bos_token or " ", return_tensors="pt")
        options: dict[str, Any] = {"do_sample": False}
        if self.creativity > 0:
            options = {"do_sample": True, "temperature": self.creativity}
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed % (1 << _SEED_BITS))
            end = tokenizer.eos_token_id
            ids = model.generate(
                **inputs, max_new_tokens=self.new_tokens, pad_token_id=0 if end is None else end, **options
            )
        more = tokenizer.decode(ids[0][inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return text + " ".join(more.split("\n")).rstrip()

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any]:
        if not (self.folder / "config.json").is_file():
            raise MagicError(
                f"{self.folder.name} holds no language model (config.json is missing); choose a folder with one."
            )
        try:
            torch, transformers = import_module("torch"), import_module("transformers")
        except ImportError as error:
            raise MagicError(
                f"Magic prompt needs the package '{error.name}', which is not installed here; switch it off or install it."
            ) from error
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
            model = transformers.AutoModelForCausalLM.from_pretrained(self.folder, local_files_only=True).eval()
        except (OSError, ValueError) as error:
            raise MagicError(f"The language model in {self.folder.name} cannot be loaded: {error}") from error
        return tokenizer, model, torch
