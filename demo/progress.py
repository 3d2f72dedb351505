"""What a person watches while the demo runs: what is happening, what happened, and the model
getting better."""

from __future__ import annotations

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from demo.result import Comparison, Loop, Outcome

BARS = "▁▂▃▄▅▆▇█"
ACCENT = "dark_orange3"


class LiveView:
    """A live checklist on a terminal; plain lines where there is none."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._done: list[tuple[str, str, float]] = []
        self._step: str | None = None
        self._started = self._step_started = time.monotonic()
        self._progress: tuple[int, int] | None = None
        self._rounds: list[tuple[int, int, float, float]] = []
        self._spinner = Spinner("dots", style=ACCENT)
        self._live = (
            Live(self, console=console, refresh_per_second=8, transient=False)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> LiveView:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._step = None
        if self._live:
            self._live.stop()

    def begin(self, step: str) -> None:
        self._step = step
        self._step_started = time.monotonic()
        self._progress = None

    def advance(self, done: int, total: int) -> None:
        self._progress = (done, total)

    def round(self, number: int, total: int, auc: float, epsilon: float) -> None:
        self._rounds.append((number, total, auc, epsilon))
        self._progress = (number, total)
        if not self._live:
            self._console.print(
                f"      step {number:>2} of {total}   AUC {auc:.4f}   epsilon {epsilon:.3f}",
                highlight=False,
            )

    def lost(self, lenders: str, reason: str) -> None:
        self._console.print(
            f"      {lenders} dropped out; the release is attempted again ({reason})",
            highlight=False,
        )

    def end(self, result: str) -> None:
        if self._step is None:
            return
        seconds = time.monotonic() - self._step_started
        self._done.append((self._step, result, seconds))
        if not self._live:
            self._console.print(
                f"  ok  {self._step}: {result} ({seconds:.1f} s)", highlight=False, soft_wrap=True
            )
        self._step, self._progress = None, None

    def __rich__(self) -> RenderableType:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=2)
        table.add_column(ratio=2)
        table.add_column(ratio=3)
        table.add_column(justify="right", width=7)
        for step, result, seconds in self._done:
            table.add_row(
                Text("✓", "green"), step, Text(result, "grey62"), Text(f"{seconds:.1f} s", "grey50")
            )
        if self._step:
            elapsed = time.monotonic() - self._step_started
            table.add_row(
                self._spinner,
                Text(self._step, "bold"),
                self._bar(),
                Text(f"{elapsed:.0f} s", "grey50"),
            )
        parts: list[RenderableType] = [table]
        if self._rounds:
            parts += [Text(), self._curve()]
        title = f"[bold {ACCENT}]Tahini[/]  many seeds, one paste"
        total = time.monotonic() - self._started
        return Panel(
            Group(*parts),
            title=title,
            title_align="left",
            subtitle=f"{total:.0f} s",
            border_style="grey42",
        )

    def _bar(self) -> RenderableType:
        if not self._progress:
            return Text()
        done, total = self._progress
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(justify="right")
        grid.add_row(
            ProgressBar(total, done, complete_style=ACCENT), Text(f"{done:,} / {total:,}", "grey62")
        )
        return grid

    def _curve(self) -> RenderableType:
        aucs = [auc for _, _, auc, _ in self._rounds]
        low, high = min(aucs), max(aucs)
        scale = (len(BARS) - 1) / (high - low or 1)
        spark = "".join(BARS[round((auc - low) * scale)] for auc in aucs)
        number, total, auc, epsilon = self._rounds[-1]
        return Text.assemble(
            ("   AUC ", "grey62"),
            (f"{spark:<{total}}", ACCENT),
            (f"  {auc:.4f}", "bold"),
            (f"   step {number} of {total}   epsilon spent ", "grey62"),
            (f"{epsilon:.3f}", "bold"),
        )


def result_table(outcome: Outcome) -> Table:
    """The table at the end: each lender alone, the consortium, the pooled ceiling."""
    table = Table(title=None, box=None, header_style="grey62", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("model")
    for name in ("AUC", "KS", "Gini", "Brier", "ECE", "O/E", "epsilon"):
        table.add_column(name, justify="right")
    rows = [
        (f"{name} alone", name, f"{outcome.scenario.settings.epsilon:.2f}", "")
        for name in outcome.scenario.split.lenders
    ]
    rows.append(
        ("consortium", "consortium", f"{outcome.training.epsilon_spent:.2f}", f"bold {ACCENT}")
    )
    rows.append(("pooled, no privacy", "pooled_reference", "∞", "grey62"))
    for label, name, epsilon, style in rows:
        q = outcome.comparison.qualities[name]
        values = (f"{v:.4f}" for v in (q.auc, q.ks, q.gini, q.brier, q.ece))
        level = f"{q.observed_to_expected:.2f} ± {q.observed_to_expected_error:.2f}"
        table.add_row(label, *values, level, epsilon, style=style)
    return table


def closed(loop: Loop, comparison: Comparison) -> str:
    """One line: what two years of lending taught."""
    years, again = loop.years, loop.retrained
    was = comparison.qualities["consortium"].auc
    return (
        f"Two years of lending at {years.lender}: {years.applications:,} applications, "
        f"{years.standing.loans:,} loans, {again.own:,} people with a mature label. Trained again "
        f"with them: AUC {again.quality.auc:.4f}, before {was:.4f}. They are those whom the first "
        "model let in."
    )
