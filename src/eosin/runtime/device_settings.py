"""Device and precision of a training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DeviceSettings:
    """A device and a precision.

    Attributes:
        accelerator: ``cpu``, ``cuda`` or ``mps``.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed``.
        description: For people, e.g. ``"cpu (2 threads)"``.
    """

    accelerator: str
    precision: str
    description: str

    @property
    def can_compile(self) -> bool:
        """True if ``torch.compile`` needs no compiler of the machine's."""
        return self.accelerator == "cuda"
