"""Our fields in a picture's text survive the WebUI's own writing and reading."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from lib_lora_train.host.infotext import by_image, quoted

PARAMETER = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""How the WebUIs read a text's last line (their `re_param`)."""


def written_and_read(text: str) -> str:
    """What A1111 and Forge make of a value: quoted when it holds a comma, colon or line end; unquoted when it is."""
    value = json.dumps(text, ensure_ascii=False) if any(mark in text for mark in ",:\n") else text
    line = f"Steps: 1, Prompt template: {value}, Size: 64x64"
    said = dict(PARAMETER.findall(line))["Prompt template"]
    return json.loads(said) if len(said) > 1 and said[0] == '"' and said[-1] == '"' else said


@given(
    st.text(st.characters(blacklist_categories=("Cs", "Cc")) | st.sampled_from('",:\n{}|\\ '), min_size=1, max_size=30)
)
def test_any_template_comes_back(text: str) -> None:
    assert written_and_read(quoted(text)) == text


def test_a_value_for_each_image_whatever_the_host_counts() -> None:
    class Job:
        all_prompts = ("a", "b", "c", "d")
        iteration, batch_size = 1, 2

    value = by_image(["0", "1", "2", "3"])
    assert value(Job, index=1, all_prompts=["c", "d"]) == "3"
    assert value(Job, index=1, all_prompts=Job.all_prompts) == "1"
    assert value(Job, index=0, all_prompts=["c", "d"], use_main_prompt=True) == "0"
    assert value(Job, index=9, all_prompts=Job.all_prompts) is None
