"""What it saves that a training step's memory is kept for the next: EfficientNet-Lite0, 224 pixels, CPU, one thread.

    python benchmarks/memory.py

Both kinds of process take the same steps and must end with the same loss. Medians of the processes' CPU time.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time

REPEATS, STEPS = 3, 4
BATCHES = (16, 32)


def measure(how: str, batch: int) -> dict[str, float]:
    """CPU milliseconds an image, peak resident MiB, and the last loss, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, how, str(batch)], capture_output=True, check=True)
    return json.loads(done.stdout)


def steps(how: str, batch: int) -> dict[str, float]:
    import torch

    from goldfold.io import memory
    from goldfold.nn import backbones

    if how == "kept":
        memory.keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = backbones.create("efficientnet_lite0", pretrained=False, num_classes=2).model
    network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    pixels, labels = torch.randn(batch, 3, 224, 224), torch.arange(batch) % 2
    pixels = pixels.to(memory_format=torch.channels_last)
    for step in range(STEPS + 1):
        if step == 1:
            started = time.process_time()
        loss = torch.nn.functional.cross_entropy(network(pixels), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"ms": seconds / STEPS / batch * 1000, "MiB": peak, "loss": loss.item()}


def main() -> None:
    print("batch  by default            kept                  ratio of time")
    for batch in BATCHES:
        pairs = [[measure(how, batch) for how in ("by default", "kept")] for _ in range(REPEATS)]
        assert len({found["loss"] for pair in pairs for found in pair}) == 1, "both must learn the same"
        before, after = zip(*pairs, strict=True)
        cells = [
            f"{statistics.median(f['ms'] for f in side):5.1f} ms {max(f['MiB'] for f in side):6,.0f} MiB"
            for side in (before, after)
        ]
        ratio = statistics.median(kept["ms"] / default["ms"] for default, kept in pairs)
        print(f"{batch:5}  {cells[0]:20}  {cells[1]:20}  {ratio:.2f}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(steps(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
