"""The command line: one table of commands, and the one place that turns errors into a sentence and an exit code.

Standard library and `environment` only; a command's module is imported when it is asked for.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_lora_train import __version__
from lib_lora_train.environment.entry import enter, enter_light, wanted_here
from lib_lora_train.environment.errors import TrainerEnvironmentError
from lib_lora_train.environment.locate import home_folder
from lib_lora_train.environment.state import find
from lib_lora_train.errors import LoraLoopError
from lib_lora_train.files.text import printable

PROGRAM = "python -m lib_lora_train"
STOPPED = 6


@dataclass(frozen=True)
class Command:
    """A command: `module` has `add_arguments(parser)` and `run(options) -> int`.

    `anywhere` is for those that need none of the trainer's packages, so they answer even when these are broken. `needs`
    are the packages that suffice for one that needs no torch; `with_torch` and `without_torch` are the options that
    change this for a command.
    """

    name: str
    module: str
    help: str
    anywhere: bool = False
    needs: tuple[str, ...] = ()
    with_torch: tuple[str, ...] = ()
    without_torch: tuple[str, ...] = ()

    def is_light(self, arguments: Sequence[str]) -> bool:
        """Whether this call of it needs no torch."""
        given = {argument.partition("=")[0] for argument in arguments}
        chosen = given & {*self.without_torch} if self.without_torch else not given & {*self.with_torch}
        return bool(self.needs and chosen)

    @property
    def exists(self) -> bool:
        """Whether the module is in this checkout (looked up as a file, so that nothing is imported)."""
        path = Path(__file__).absolute().parents[1].joinpath(*self.module.split("."))
        return path.with_suffix(".py").is_file()


COMMANDS = (
    Command("demo", "lib_lora_train.demo.command", "the whole loop on sample photos: check, train, compare"),
    Command(
        "check",
        "lib_lora_train.train.dataset.command",
        "what a dataset is understood as, image by image",
        needs=("PIL", "numpy", "tokenizers"),
    ),
    Command("train", "lib_lora_train.jobs.train_command", "train one LoRA from a configuration or a job folder"),
    Command("resume", "lib_lora_train.jobs.resume_command", "go on with a job exactly where its last saved state is"),
    Command("status", "lib_lora_train.jobs.status_command", "how far a job is", anywhere=True),
    Command("stop", "lib_lora_train.jobs.stop_command", "stop a job; its last state is kept", anywhere=True),
    Command(
        "queue", "lib_lora_train.jobs.queue_command", "runs one after the other: add, list, run, move", anywhere=True
    ),
    Command(
        "grid",
        "lib_lora_train.standalone.command",
        "epochs x weights x prompts of one LoRA, as a page; keep one",
        needs=("PIL", "numpy"),
        without_torch=("--keep", "--undo"),
    ),
    Command(
        "install-base",
        "lib_lora_train.demo.install_command",
        "put the small base into A1111, to try the whole loop there",
        anywhere=True,
    ),
    Command(
        "expand",
        "lib_lora_train.prompt.command",
        "prompts from a template",
        needs=("lark", "yaml"),
        with_torch=("--magic",),
    ),
    Command("ui", "lib_lora_train.ui.command", "the Train tab as a page of its own, without a WebUI", anywhere=True),
    Command(
        "doctor", "lib_lora_train.environment.command", "what is here, what is wrong, what mends it", anywhere=True
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command in this process; gives the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: _run(given), debug="--debug" in given)


def from_anywhere(arguments: Sequence[str]) -> int:
    """Run a command from any Python: here if it can, else in the trainer's environment, built first if it must be."""
    given = list(arguments)
    return guarded(lambda: _dispatch(given), debug="--debug" in given)


def guarded(run: Callable[[], int], debug: bool = False) -> int:
    """Run something for a person at a terminal: errors meant for people become one sentence and their exit code."""
    try:
        code = run()
        sys.stdout.flush()  # here, where a reader that has gone is still caught
        return code
    except LoraLoopError as error:
        if debug:
            traceback.print_exc()
        print(printable(str(error)), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:  # `expand … | head`: the reader has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(arguments: list[str]) -> int:
    command = next((one for one in COMMANDS if one.exists and one.name == (arguments or [""])[0]), None)
    if command is None or command.anywhere:
        return _run(arguments)
    home = _home_option(arguments)
    if {"-h", "--help"} & set(arguments) and find(wanted_here(home)) is None:
        return _help_here(arguments)
    if command.is_light(arguments):
        if all(importlib.util.find_spec(name) for name in command.needs):
            return _run(arguments)
        return enter_light("lib_lora_train.cli", arguments, home)
    return enter("lib_lora_train.cli", arguments, home)


def _help_here(arguments: list[str]) -> int:
    try:
        return _run(arguments)
    except ImportError as error:
        message = f"This help needs the trainer's packages ({error}); run '{PROGRAM} doctor --build' once."
        raise TrainerEnvironmentError(message) from error


def _run(arguments: list[str]) -> int:
    commands = {command.name: command for command in COMMANDS if command.exists}
    parser = _parser(list(commands.values()))
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    command = commands[parser.parse_args(arguments[:1]).command]
    # Pillow's, about large pictures: `files.images` has a limit and a sentence of its own
    warnings.filterwarnings("ignore", message=r"Image size \(\d+ pixels\) exceeds limit")
    module = importlib.import_module(command.module)
    options_parser = argparse.ArgumentParser(prog=f"{PROGRAM} {command.name}", description=command.help)
    module.add_arguments(options_parser)
    shared = options_parser.add_argument_group("for every command")
    shared.add_argument(
        "--home", type=Path, metavar="DIR", help="the folder lora-loop, which holds jobs, cache and environment"
    )
    shared.add_argument("--debug", action="store_true", help="show where in the program an error arose")
    options = options_parser.parse_args(arguments[1:])
    options.home = home_folder(options.home)
    return int(module.run(options))


def _parser(commands: Sequence[Command]) -> argparse.ArgumentParser:
    table = "\n".join(f"  {command.name:<12} {command.help}" for command in commands)
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="LoRA Loop: photos, LoRA training, epoch comparison and random generation.",
        epilog=f"commands:\n{table}\n\n'{PROGRAM} COMMAND --help' tells the rest.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"LoRA Loop {__version__}")
    parser.add_argument(
        "command", choices=[command.name for command in commands], metavar="COMMAND", help="one of those below"
    )
    return parser


def _home_option(arguments: Sequence[str]) -> Path | None:
    """`--home DIR` or `--home=DIR`, read before the command's own parser can be imported."""
    before = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--home", type=Path)
    return parser.parse_known_args(before)[0].home


if __name__ == "__main__":
    sys.exit(main())
