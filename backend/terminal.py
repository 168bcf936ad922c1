"""What the command line shows: progress bars on a terminal, clean lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .recipes.progress import Clock


class ProgressDisplay:
    """A ``Report`` that shows a job on standard error: one bar that moves, or a line per finished stage.

    Args:
        shares: stage -> its share of the time, for the bar.
    """

    def __init__(self, shares: Mapping[str, float]):
        self.clock = Clock(shares)
        self._told: set[str] = set()
        self._console = Console(stderr=True)
        self._bar = (
            Progress(
                TextColumn("{task.description:8}"),
                BarColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            if self._console.is_terminal
            else None
        )
        self._task = self._bar.add_task("start", total=1.0) if self._bar else None

    def __enter__(self) -> ProgressDisplay:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_exception) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, stage: str, step: int, total: int) -> None:
        """Step ``step`` of ``total`` in ``stage`` is done."""
        fraction, _left = self.clock.advance(stage, step, total)
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=fraction, description=stage)
        elif step == total and stage not in self._told:
            self._told.add(stage)
            self._console.print(f"{stage}: {self.clock.seconds[stage]:.1f} s", highlight=False)
