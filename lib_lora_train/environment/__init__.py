"""Where the trainer's packages live: finding, building, checking, entering.

Standard library only, and of ours only `errors` and `files`: it runs in the host's process and in any Python.
"""
