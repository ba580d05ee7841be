"""The epoch grid without a WebUI: the command `grid`, and drawing with the trainer's own base loader and samplers.

`renderer`, `lora_merge` and `features` need torch and run in the trainer's environment; the rest does not.
"""
