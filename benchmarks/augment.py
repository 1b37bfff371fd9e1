"""Training with the augmentation ``default`` beside a bare PyTorch loop, in images a second.

As ``benchmarks.train_throughput``, which says what is timed and what the peer is, with everything
that ``default`` draws: views, a mild affine change, stain, light and focus.

``python -m benchmarks.augment --json`` prints, last, one line of JSON.
"""

from __future__ import annotations

from benchmarks.train_throughput import Case, main

CASES = (
    Case("cancervisionnet_96_default", "cancervisionnet", "default", steps=3, turns=4, goal=1.00),
)

if __name__ == "__main__":
    main(CASES, __doc__)
