"""Base checkpoints: recognise, load, encode, predict. One family of models is one module.

Torch-free: `info`, `header`, `detect`, `signatures`, `folder`, `sd1_config`, `names`, `fingerprint` and `tokenizer`;
the rest runs in the trainer's own process. Nothing here ever asks the network.
"""
