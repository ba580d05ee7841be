"""The prompt language: templates with choices, wildcards and variables become prompts. Pure: no torch, no host.

    expander = Expander(Context(Wildcards(["wildcards"])))
    prompt = expander.draw("a {red|3::blue} __scene__", seed=7)
    prompt.text, prompt.choices

The language is described in docs/prompt_language.md. Imports of ours: `errors` and `files` only.
"""

from __future__ import annotations

from lib_lora_train.prompt.errors import (
    LimitReached,
    NotCountable,
    Place,
    PromptError,
    TemplateError,
    VariableError,
    WildcardError,
    WildcardFileError,
)
from lib_lora_train.prompt.expander import NEGATIVE, POSITIVE, Expander, Prompt, Templates
from lib_lora_train.prompt.limits import Limits
from lib_lora_train.prompt.stream import seed_of
from lib_lora_train.prompt.syntax import Syntax, escape
from lib_lora_train.prompt.template import Context, Template, compile_template
from lib_lora_train.prompt.trace import Choice, held
from lib_lora_train.prompt.wildcards import Reading, Wildcards

__all__ = [
    "NEGATIVE",
    "POSITIVE",
    "Choice",
    "Context",
    "Expander",
    "LimitReached",
    "Limits",
    "NotCountable",
    "Place",
    "Prompt",
    "PromptError",
    "Reading",
    "Syntax",
    "Template",
    "TemplateError",
    "Templates",
    "VariableError",
    "WildcardError",
    "WildcardFileError",
    "Wildcards",
    "compile_template",
    "escape",
    "held",
    "seed_of",
]
