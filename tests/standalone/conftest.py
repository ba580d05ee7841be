"""One real run of three epochs for all tests of drawing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_lora_train.train.job import Job
from tests.runs import Workshop, run


@pytest.fixture(scope="session")
def trained(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A finished job whose LoRA does much, with files of three epochs and the final one."""
    home: Path = tmp_path_factory.mktemp("trained")
    job = workshop.job(
        home, "loop.epochs=3", "optimizer.learning_rate=0.02", "adapter.conv_rank=2", "save.precision=fp16"
    )
    assert run(job) == 0
    return job
