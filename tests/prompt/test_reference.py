"""Every example of docs/prompt_language.md is carried out."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import pytest

from lib_lora_train.prompt import Context, Expander, PromptError, Wildcards

TEXT = (Path(__file__).parents[2] / "docs" / "prompt_language.md").read_text(encoding="utf-8")
LISTS = {name: body.splitlines() for name, body in re.findall(r"```wildcard (\S+)\n(.*?)\n```", TEXT, re.DOTALL)}
EXAMPLES = re.findall(r"```prompt\n(.*?)\n```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def expander(tmp_path_factory: pytest.TempPathFactory) -> Expander:
    root = tmp_path_factory.mktemp("wildcards")
    for name, lines in LISTS.items():
        path = root / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Expander(Context(Wildcards([root])))


def test_the_reference_has_examples() -> None:
    assert len(EXAMPLES) >= 35
    assert {"hue", "trees/oak"} <= set(LISTS)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example(expander: Expander, example: str) -> None:
    template, *results = re.split(r"\n(?=[→✗])", example)
    if results[0].startswith("✗"):
        with pytest.raises(PromptError) as caught:
            expander.draw(template, 1)
        assert results[0].removeprefix("✗").strip() in str(caught.value)
        return
    expected = [result.removeprefix("→").removeprefix(" ").rstrip() for result in results]
    combined = [_plain(prompt.text) for prompt in islice(expander.combinations(template), 100)]
    assert set(combined) == set(expected)
    drawn = {_plain(prompt.text) for prompt in expander.batch(template, range(60 * len(expected)))}
    assert drawn == set(expected)


def _plain(text: str) -> str:
    """Blanks at line ends cannot be seen in the document."""
    return "\n".join(line.rstrip() for line in text.split("\n"))
