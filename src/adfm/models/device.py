"""Where torch computes: device, precision and threads."""

from __future__ import annotations


def best_device() -> str:
    """Return `cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def best_dtype(device: str) -> str:
    """Return bfloat16 for a GPU and float32 for a CPU, where bfloat16 is slower."""
    return "bfloat16" if device == "cuda" else "float32"


def use_threads(count: int) -> None:
    """Set torch's threads. 0 keeps torch's own choice."""
    import torch

    if count:
        torch.set_num_threads(count)


def one_thread_on_cpu() -> None:
    """Keep torch to one thread on a CPU. Two collapse as soon as anything else runs on a small machine."""
    if best_device() == "cpu":
        use_threads(1)
