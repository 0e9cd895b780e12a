"""Trainer: turns a dataset into a checkpoint, in a process of its own under `accelerate launch`. The worker imports no torch."""
