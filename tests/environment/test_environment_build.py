"""Building: what is made, what is left alone, and what happens when it is killed, alone, offline or out of space."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lib_lora_train.environment import build, pip
from lib_lora_train.environment.build import add_bitsandbytes, ensure, rebuild
from lib_lora_train.environment.errors import IndexUnreachable, TrainerEnvironmentError
from lib_lora_train.environment.guard import one_builder
from lib_lora_train.environment.launch import command_for
from lib_lora_train.environment.size import expected, share
from lib_lora_train.environment.state import Environment, Wanted, find, light, read_record
from lib_lora_train.files.errors import DiskError

from .conftest import NUMPY, ROOT, TORCH, FakeHost, Shop, other_python, run_python

ENSURE = """
import sys
from pathlib import Path
from lib_lora_train.environment import build, pip
from lib_lora_train.environment.locks import Lock
from lib_lora_train.environment.state import Wanted
home, host, trainer, complete = map(Path, sys.argv[1:5])
wanted = Wanted(home, host, Lock((trainer,)), Lock((complete,)), trial="")
{before}
print(build.ensure(wanted, print).folder)
"""


def ensure_elsewhere(wanted: Wanted, before: str = "") -> subprocess.Popen[str]:
    """Build in another process, with a fault put in first."""
    arguments = [str(wanted.home), str(wanted.host_python), str(wanted.trainer.files[0]), str(wanted.complete.files[0])]
    code = ENSURE.replace("{before}", before)
    return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def leftovers(wanted: Wanted) -> list[Path]:
    return list(wanted.folder.glob("*.tmp"))


def test_builds_beside_the_host_and_changes_nothing_in_it(wanted: Wanted, host: FakeHost) -> None:
    frozen, files = host.freeze(), host.listing()
    said: list[str] = []
    made = ensure(wanted, said.append)
    assert host.freeze() == frozen
    assert host.listing() == files
    assert made.python == host.python
    assert made.torch == "2.3.1+cu121"
    assert made.folder is not None
    assert made.folder.name.startswith(f"cp{sys.version_info[0]}{sys.version_info[1]}-")
    assert made.folder.name.endswith("-host")
    assert (made.packages[0] / "loopone.py").is_file()
    assert leftovers(wanted) == []
    assert any("1/2" in line for line in said)
    assert any("2/2" in line for line in said)


def test_the_second_time_no_process_is_started(wanted: Wanted, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ensure(wanted, print)

    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert ensure(wanted, refuse) == made


def test_a_package_that_is_not_the_pinned_one_is_refused(wanted: Wanted, shop: Shop) -> None:
    shop.add("loopone", "1.0", {"loopone.py": "evil = True\n"})
    with pytest.raises(TrainerEnvironmentError, match="hash differs") as caught:
        ensure(wanted, print)
    assert caught.value.exit_code == 8
    assert find(wanted) is None
    assert leftovers(wanted) == []


def test_a_package_that_cannot_be_imported_makes_no_environment(wanted: Wanted, shop: Shop) -> None:
    bad = shop.lock(shop.add("loopbad", "1.0", {"loopbad.py": "import no_such_thing\n"}), name="bad.txt")
    with pytest.raises(
        TrainerEnvironmentError, match=r"loopbad cannot be imported \(ModuleNotFoundError: .*no_such_thing"
    ):
        ensure(replace(wanted, trainer=bad), print)
    assert leftovers(wanted) == []


@pytest.mark.parametrize(
    "stage",
    [
        "pip.install = lambda *a, **k: die()",
        "real = pip.install\ndef install(*a, **k): real(*a, **k); die()\npip.install = install",
        "build._test = lambda *a, **k: die()",
        "build.atomic.rename = lambda *a, **k: die()",
    ],
    ids=["before pip", "after pip", "before the test", "before the rename"],
)
def test_a_build_that_is_killed_heals(wanted: Wanted, stage: str) -> None:
    die = "import os, signal\ndef die(): os.kill(os.getpid(), signal.SIGKILL)\n"
    killed = ensure_elsewhere(wanted, die + stage)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert find(wanted) is None
    assert ensure(wanted, print).folder is not None
    assert leftovers(wanted) == []


def test_killed_while_pip_waits_for_a_silent_index(wanted: Wanted, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.delenv("PIP_NO_INDEX")
        links = os.environ["PIP_FIND_LINKS"]
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        builder = ensure_elsewhere(wanted)
        connection, _ = silent.accept()
        builder.kill()
        builder.communicate()
        connection.close()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", links)
    assert ensure(wanted, print).folder is not None


def test_two_builders_at_once_make_one(wanted: Wanted) -> None:
    first, second = ensure_elsewhere(wanted), ensure_elsewhere(wanted)
    said = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert sum("1/2" in text for text in said) == 1
    assert said[0].splitlines()[-1] == said[1].splitlines()[-1]


def test_a_waiting_builder_says_so(tmp_path: Path) -> None:
    said: list[str] = []

    def wait() -> None:
        with one_builder(tmp_path, said.append, pause=0.01):
            said.append("mine")

    with one_builder(tmp_path, print):
        other = threading.Thread(target=wait)
        other.start()
        while not said:
            time.sleep(0.01)
        assert "waiting" in said[0]
    other.join()
    assert said[1:] == ["mine"]


def test_no_network_is_one_sentence_and_code_8(tmp_path: Path, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    done = subprocess.run(
        [sys.executable, "-m", "lib_lora_train", "doctor", "--build", "--home", str(tmp_path / "home")],
        cwd=ROOT,
        env={**os.environ, "LORA_LOOP_HOST_PYTHON": str(host.python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 8
    last = done.stderr.splitlines()[-1]
    assert "package index did not answer" in last
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "home" / "environment").glob("*.tmp")) == []


@pytest.mark.parametrize(
    ("output", "kind", "words"),
    [
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            DiskError,
            "disk is full",
        ),
        ("WARNING: Retrying after connection broken by 'NewConnectionError'", IndexUnreachable, "did not answer"),
        ("ERROR: No matching distribution found for torch==2.13.0", TrainerEnvironmentError, "has no torch==2.13.0"),
        ("/usr/bin/python3: No module named pip", TrainerEnvironmentError, "has no pip"),
        ("ERROR: something else.", TrainerEnvironmentError, "something else; all that pip said"),
        ("", TrainerEnvironmentError, "without a message"),
    ],
)
def test_what_pip_says_becomes_one_sentence(output: str, kind: type[Exception], words: str, tmp_path: Path) -> None:
    error = pip.explain(output, tmp_path / "pip.log")
    assert type(error) is kind
    assert words in str(error)
    assert "\n" not in str(error)


def test_too_little_disk_is_said_before_anything_is_written(wanted: Wanted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(build.NEEDED_MIB, "host", 2**60)
    with pytest.raises(DiskError, match="MiB are free") as caught:
        ensure(wanted, print)
    assert caught.value.exit_code == 7
    assert leftovers(wanted) == []


def test_a_host_without_torch_is_named(wanted: Wanted, host: FakeHost) -> None:
    shutil.rmtree(host.site / "torch")
    with pytest.raises(TrainerEnvironmentError, match=r"has no torch yet; start the WebUI once"):
        ensure(wanted, print)


def test_a_host_with_an_old_torch_is_named(wanted: Wanted, host: FakeHost) -> None:
    host.add({"torch/version.py": "__version__ = '1.13.1'\n"})
    with pytest.raises(TrainerEnvironmentError, match=r"torch 1\.13\.1 is older than 2\.1"):
        ensure(wanted, print)


def test_a_torch_that_does_not_know_its_numpy_is_named(wanted: Wanted, host: FakeHost) -> None:
    host.add(
        {
            "torch/__init__.py": TORCH["torch/__init__.py"]
            + "def from_numpy(array): raise RuntimeError('Numpy is not available')\n"
        }
    )
    with pytest.raises(TrainerEnvironmentError, match=r"do not fit \(Numpy is not available\)"):
        ensure(wanted, print)


def test_a_new_torch_in_the_host_is_tested_and_not_downloaded_for(
    wanted: Wanted, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure(wanted, print)
    host.add({"torch/version.py": "__version__ = '2.6.0'\n"})
    assert find(wanted) is None
    monkeypatch.setattr(pip, "install", None)
    assert ensure(wanted, print).torch == "2.6.0"
    assert find(wanted) is not None


def test_rebuild_starts_from_nothing(wanted: Wanted) -> None:
    made = ensure(wanted, print)
    assert made.folder is not None
    (made.folder / "packages" / "loopone.py").write_text("broken(", "utf-8")
    again = rebuild(wanted, print)
    assert (again.packages[0] / "loopone.py").read_text("utf-8") == "__version__ = '1.0'\n"


def test_bitsandbytes_goes_into_a_folder_of_its_own_and_only_with_a_card(
    wanted: Wanted, host: FakeHost, shop: Shop
) -> None:
    made = ensure(wanted, print)
    lock = shop.lock(shop.add("bitsandbytes", "0.48.2"), name="extra.txt")
    with pytest.raises(TrainerEnvironmentError, match="choose AdamW"):
        add_bitsandbytes(made, print, lock)
    with_card = "cuda.is_available = staticmethod(lambda: True)\ncuda.device_count = staticmethod(lambda: 0)\n"
    host.add({"torch/__init__.py": TORCH["torch/__init__.py"].replace("class backends", with_card + "class backends")})
    add_bitsandbytes(made, print, lock)
    add_bitsandbytes(made, print, lock)
    found = find(wanted)
    assert found is not None
    assert [folder.name for folder in found.packages] == ["packages", "bitsandbytes-0.48.2"]


@pytest.mark.slow
def test_a_complete_environment_where_there_is_no_host(tmp_path: Path, shop: Shop) -> None:
    trainer = shop.lock(shop.add("loopone", "1.0"))
    complete = shop.lock(shop.add("numpy", "9.9", NUMPY), name="complete.txt")
    shop.add("torch", "2.13.0", {**TORCH, "torch/version.py": "__version__ = '2.13.0+cpu'\n"})
    wanted = Wanted(tmp_path / "home", None, trainer, complete, trial="")
    made = ensure(wanted, print)
    assert made.folder is not None
    assert made.python.is_relative_to(made.folder)
    assert find(wanted) == made
    other = run_python(
        "import sys; from pathlib import Path; from lib_lora_train.environment.locks import Lock\n"
        "from lib_lora_train.environment.state import Wanted, find\n"
        "h, t, c = map(Path, sys.argv[1:]); print(find(Wanted(h, None, Lock((t,)), Lock((c,)))).python)",
        str(wanted.home),
        str(trainer.files[0]),
        str(complete.files[0]),
        python=other_python("3.10") or sys.executable,
    )
    assert other.stdout.strip() == str(made.python), other.stderr


def test_a_python_without_venv_is_told_the_cure(tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(build.NEEDED_MIB, "complete", 0)
    wanted = Wanted(tmp_path / "home", None, shop.lock(shop.add("loopone", "1.0")), shop.lock(name="complete.txt"))
    with pytest.raises(TrainerEnvironmentError, match=r"no venv module.*apt install python3-venv"):
        ensure(wanted, print)


def test_torch_comes_from_the_index_that_the_webuis_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pip.torch_arguments("torch==2.13.0") == ["torch==2.13.0"]
    monkeypatch.setenv("TORCH_INDEX_URL", "https://example.org/cu128")
    assert pip.torch_arguments("torch==2.13.0") == ["torch==2.13.0", "--extra-index-url", "https://example.org/cu128"]


def test_pip_does_not_obey_settings_that_would_send_packages_elsewhere(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert ensure(wanted, print).folder is not None
    assert not (tmp_path / "elsewhere").exists()


def test_a_child_gets_a_deliberate_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", "/webui")
    monkeypatch.setenv("LORA_LOOP_HOST_PATHS", "/stale")
    command, variables = command_for(
        Environment(tmp_path, Path("/host/python")), "lib_lora_train.train.worker", ["job 1", "--x; rm"]
    )
    assert command[0] == "/host/python"
    assert command[2:] == ["lib_lora_train.train.worker", "job 1", "--x; rm"]
    assert variables["HF_HUB_OFFLINE"] == variables["TRANSFORMERS_OFFLINE"] == variables["PYTHONUTF8"] == "1"
    assert variables["LORA_LOOP_HOME"] == str(tmp_path)
    assert not {"PYTHONPATH", "LORA_LOOP_HOST_PATHS"} & set(variables)


TRIAL = """
def run():
    import torch
    return {'device': 'CPU', 'precision': 'fp32', 'seconds': 1.5}
"""


def test_a_build_trains_with_what_was_installed(wanted: Wanted, shop: Shop) -> None:
    lock = shop.lock(shop.add("looptrial", "1.0", {"looptrial.py": TRIAL}), name="trial.txt")
    said: list[str] = []
    made = ensure(replace(wanted, trainer=lock, trial="looptrial"), said.append)
    assert any("two steps, a save and a load back on CPU (fp32) in 1.5 s" in line for line in said)
    assert made.folder is not None
    [tested] = read_record(made.folder)["tested"].values()
    assert tested["trial"]["seconds"] == 1.5


def test_a_build_whose_training_fails_makes_no_environment(wanted: Wanted, shop: Shop) -> None:
    """A1111's torch 2.1.2: every package imported, and no run began."""
    broken = TRIAL.replace("import torch", "import torch.utils; torch.utils.deterministic")
    lock = shop.lock(shop.add("looptrial", "1.0", {"looptrial.py": broken}), name="trial.txt")
    with pytest.raises(TrainerEnvironmentError, match=r"do not work: a short training fails \(\w+Error: ") as caught:
        ensure(replace(wanted, trainer=lock, trial="looptrial"), print)
    assert "\n" not in str(caught.value)
    assert find(wanted) is None
    assert leftovers(wanted) == []


def test_a_gpu_that_is_full_just_now_does_not_stop_a_build(wanted: Wanted, shop: Shop) -> None:
    full = "def run(): return {'device': 'GTX 1060', 'precision': '', 'skipped': 'GTX 1060 is full; close a program'}\n"
    lock = shop.lock(shop.add("looptrial", "1.0", {"looptrial.py": full}), name="trial.txt")
    said: list[str] = []
    assert ensure(replace(wanted, trainer=lock, trial="looptrial"), said.append).folder is not None
    assert any("GTX 1060 is full" in line for line in said)


def test_a_self_test_that_hangs_is_ended(wanted: Wanted, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = shop.lock(shop.add("looptrial", "1.0", {"looptrial.py": "import time; time.sleep(600)\n"}), name="trial.txt")
    monkeypatch.setattr(build, "SELF_TEST_S", 5)
    with pytest.raises(TrainerEnvironmentError, match="did not end within"):
        ensure(replace(wanted, trainer=lock), print)


def test_a_host_whose_venv_was_made_without_pip(wanted: Wanted, host: FakeHost) -> None:
    """uv makes such ones; the pip that comes with Python does it, and nothing is added to the host."""
    for path in host.site.glob("pip*"):
        shutil.rmtree(path)
    before = host.listing()
    made = ensure(wanted, print)
    assert (made.packages[0] / "loopone.py").is_file()
    assert host.listing() == before


def test_what_will_be_fetched_is_said_before_anything_is(wanted: Wanted, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []

    def stop(*_: object, **__: object) -> None:
        raise TrainerEnvironmentError(" | ".join(said))

    monkeypatch.setattr(pip, "install", stop)
    with pytest.raises(
        TrainerEnvironmentError, match=r"2 packages, 24 MB to fetch, 200 MB on the disk; about a minute"
    ):
        ensure(wanted, said.append)


def test_the_size_of_a_torch_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    found = expected(Wanted(tmp_path))
    assert (found.fetched, found.written) == (2800, 4900)
    assert "2.8 GB to fetch, 4.9 GB on the disk; about 13 minutes" in found.sentence
    monkeypatch.setattr(sys, "platform", "win32")
    assert expected(Wanted(tmp_path)).fetched < 250
    monkeypatch.setenv("TORCH_INDEX_URL", "https://example.org/cu128")
    assert expected(Wanted(tmp_path)).fetched > 2000
    assert share(Wanted(tmp_path)) == 0.0


def test_how_far_a_build_is_by_what_it_has_written(wanted: Wanted) -> None:
    folder = wanted.folder / "cp310-x-host.12.tmp" / "packages"
    folder.mkdir(parents=True)
    (folder / "torch.so").write_bytes(b"x" * 56_000_000)
    assert share(wanted) == pytest.approx(0.25, abs=0.01)
    (folder / "more.so").write_bytes(b"x" * 250_000_000)
    assert share(wanted) == 0.95


def test_a_light_environment_has_no_torch_and_hides_nothing(
    tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = shop.lock(shop.add("loopone", "1.0"))
    wanted = replace(light(tmp_path / "home"), trainer=lock)
    made = ensure(wanted, print)
    assert made.python == Path(sys.executable)
    assert made.host_paths == ()
    assert find(wanted) == made
    assert made.folder is not None
    assert made.folder.name.endswith("-light")
    command, variables = command_for(made, "lib_lora_train.cli", ["--version"])
    assert subprocess.run(command, env=variables, check=False).returncode == 0
