"""What happens at every evaluation and at the end of every epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.predictions import HISTORY_COLUMNS, write_history
from eosin.core.files import atomic_path
from eosin.core.progress import Advance
from eosin.runtime.door import import_companion
from eosin.training.checkpoints import save_weights
from eosin.training.module import ClassifierModule

lightning = import_companion("lightning.pytorch")

#: How long to wait for a gain, and which way is up.
_LOWER_IS_BETTER = frozenset({"val_loss"})


class EvaluationLog(lightning.Callback):  # type: ignore[misc,name-defined]
    """At every evaluation: a history row, the schedule, the best state, early stopping.

    Everything is counted in evaluations, of which P3 makes twenty an epoch.

    Args:
        run: Where history and best state go.
        monitor: Which validation score decides.
        patience: Evaluations without gain before training stops; ``None`` never stops early.
        on_row: Told of every new history row.
    """

    def __init__(
        self,
        run: RunFolder,
        monitor: str,
        patience: int | None,
        on_row: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._run = run
        self._monitor = monitor
        self._patience = patience
        self._on_row = on_row
        self.rows: list[dict[str, Any]] = []
        self.best: float | None = None
        self.waited = 0

    def on_train_start(self, trainer: Any, _module: Any) -> None:
        """Let a run that had stopped early, and was killed after that, stay stopped."""
        trainer.should_stop = self._is_out_of_patience()

    def on_validation_epoch_end(self, trainer: Any, module: ClassifierModule) -> None:
        """Close one evaluation."""
        if trainer.sanity_checking:
            return
        scores = module.take_scores()
        row: dict[str, Any] = {
            "step": trainer.global_step,
            "epoch": trainer.current_epoch,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            **scores,
        }
        self.rows.append({name: row.get(name) for name in HISTORY_COLUMNS})
        write_history(self._run.history, self.rows)
        if self._on_row is not None:
            self._on_row(self.rows[-1])
        # An undefined score (an AUC of one class) is no gain.
        value = scores.get(self._monitor)
        self._keep_best(value, module)
        module.step_schedule(self._worst() if value is None else value)
        if self._is_out_of_patience():
            trainer.should_stop = True

    def _is_out_of_patience(self) -> bool:
        return self._patience is not None and self.waited >= self._patience

    def _keep_best(self, value: float | None, module: ClassifierModule) -> None:
        if value is not None and (self.best is None or self._gains(value)):
            self.best, self.waited = value, 0
            save_weights(self._run.best_checkpoint, module.network)
            return
        self.waited += 1
        if self.best is None:
            # Nothing was measurable yet: the latest state is the best there is.
            save_weights(self._run.best_checkpoint, module.network)

    def _gains(self, value: float) -> bool:
        if self.best is None:
            return True
        return value < self.best if self._monitor in _LOWER_IS_BETTER else value > self.best

    def _worst(self) -> float:
        return float("inf") if self._monitor in _LOWER_IS_BETTER else float("-inf")

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        return {"rows": self.rows, "best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.rows, self.best, self.waited = state["rows"], state["best"], state["waited"]


class LastCheckpoint(lightning.Callback):  # type: ignore[misc,name-defined]
    """Writes ``checkpoints/last.ckpt`` at the end of every epoch, whole or not at all.

    Args:
        path: Where to.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: Any, _module: Any) -> None:
        """Write the checkpoint."""
        with atomic_path(self._path) as temporary:
            trainer.save_checkpoint(temporary)


class StepProgress(lightning.Callback):  # type: ignore[misc,name-defined]
    """Moves a progress bar on.

    Args:
        advance: Told how many steps are done.
        total: Steps of the whole training.
    """

    def __init__(self, advance: Advance, total: int) -> None:
        self._advance = advance
        self._total = total

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Count one step."""
        self._advance(trainer.global_step, self._total)
