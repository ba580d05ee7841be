"""LoRA Loop: photos, training, epoch comparison and random generation in one loop."""

__version__ = "0.1.0"
