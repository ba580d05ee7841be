"""Training: config, dataset, base models, adapters, the loop and its files. Imports `prompt`, `files` and `errors` only.

Torch-free, so that the page and the command line stay light: `options`, `config`, `presets`, `estimate`, `randomness`,
`events`, `commands`, `dataset` and `base.detect`. Everything else runs in the trainer's own process.
"""
