"""`python -m lib_lora_train COMMAND`, from any Python. Standard library only, and no syntax that an old Python cannot read."""

import sys

if sys.version_info < (3, 10):  # noqa: UP036 - an older one reads this far
    sys.stderr.write("LoRA Loop needs Python 3.10 or newer; start it with another one, such as python3.11.\n")
    sys.exit(8)

if __name__ == "__main__":
    from lib_lora_train.cli import from_anywhere

    sys.exit(from_anywhere(sys.argv[1:]))
