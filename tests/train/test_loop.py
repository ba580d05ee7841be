"""What is due when: files by epochs and by steps, also where both fall on one step."""

from __future__ import annotations

from pathlib import Path

from tests.runs import Workshop, events, outputs, run


def test_files_that_are_due_by_steps_come_also_at_the_end_of_an_epoch(workshop: Workshop, jobs: Path) -> None:
    job = workshop.job(jobs, "loop.batch_size=4", "save.every_epochs=0", "save.every_steps=1", "save.keep_states=9")
    assert run(job) == 0
    steps = events(job, "step")[-1]["step"]
    wanted = {f"cat-step{step:08d}.safetensors" for step in range(1, steps + 1)}
    assert set(outputs(job)) == wanted | {"cat-000002.safetensors", "cat.safetensors"}
    states = {event["state"]: place for place, event in enumerate(events(job, "saved")) if "state" in event}
    files = {event["file"]: place for place, event in enumerate(events(job, "saved")) if "file" in event}
    assert all(files[f"cat-step{step:08d}.safetensors"] < states[step] for step in range(1, steps + 1))


def test_only_the_newest_numbered_files_are_kept(workshop: Workshop, jobs: Path) -> None:
    job = workshop.job(jobs, "loop.epochs=4", "loop.batch_size=4", "save.keep=2")
    assert run(job) == 0
    assert set(outputs(job)) == {"cat-000003.safetensors", "cat-000004.safetensors", "cat.safetensors"}
