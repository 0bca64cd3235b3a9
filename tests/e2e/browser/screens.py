"""The pages as somebody finds their way in them, by role and name: what a test finds, a screen reader finds, too."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page, expect

from support.upstream import PATIENCE_S


@dataclass(frozen=True)
class TraceList:
    """The list of traces."""

    page: Page

    @property
    def grid(self) -> Locator:
        return self.page.get_by_role("grid", name="Traces")

    @property
    def rows(self) -> Locator:
        """The rows of traces that are drawn; the list is virtual."""
        return self.grid.get_by_role("row").filter(has=self.page.get_by_role("gridcell"))

    def row(self, prompt: str) -> Locator:
        return self.rows.filter(has_text=prompt)

    @property
    def filter(self) -> Locator:
        return self.page.get_by_role("combobox", name="Filter traces")

    @property
    def selected(self) -> Locator:
        """The row that keys work on; marked rows are `aria-selected`."""
        return self.grid.locator("[role=row].selected")


@dataclass(frozen=True)
class TracePage:
    """One trace."""

    page: Page

    @property
    def player(self) -> Locator:
        return self.page.locator("[data-player-state]")

    @property
    def panel(self) -> Locator:
        """What the chosen tab shows."""
        return self.page.get_by_role("tabpanel")

    @property
    def answer(self) -> Locator:
        """The text of the answer; while it plays, what is to come is in it too, painted faintly."""
        return self.page.get_by_role("region", name="Answer")

    @property
    def flow(self) -> Locator:
        return self.answer.locator("[data-lane=text]")

    @property
    def events(self) -> Locator:
        return self.page.get_by_role("grid", name="Events")

    @property
    def rail(self) -> Locator:
        return self.page.get_by_role("slider", name="Position")

    def tab(self, name: str) -> Locator:
        return self.page.get_by_role("tab", name=name)

    def fact(self, name: str) -> Locator:
        """One of the figures at the top."""
        term = self.page.get_by_role("term").filter(has_text=re.compile(f"^{name}$"))
        return self.page.locator("dl > div").filter(has=term).get_by_role("definition")

    def has_state(self, state: str) -> None:
        """Waits until the player is `live`, `paused`, `playing` or `ended`."""
        expect(self.player).to_have_attribute("data-player-state", state)

    def is_playing(self) -> bool:
        return self.player.get_attribute("data-player-state") == "playing"

    def position_ms(self) -> float:
        return float(self.player.get_attribute("data-position-ms") or "nan")

    def shown_characters(self) -> int:
        """How much of the answer has come at the player's position."""
        return int(self.flow.get_attribute("data-shown-characters") or "-1")

    def text(self) -> str:
        """The answer as it is drawn, in one line."""
        return re.sub(r"\s+", " ", self.answer.inner_text()).strip()


@dataclass(frozen=True)
class ComparePage:
    """Two traces."""

    page: Page

    @property
    def lanes(self) -> Locator:
        return self.page.locator("canvas").first

    def measure(self, name: str) -> Locator:
        return self.page.get_by_role("row").filter(has_text=name)

    @property
    def current(self) -> Locator:
        """The change that was jumped to."""
        return self.page.locator("[data-current]")


@dataclass(frozen=True)
class Played:
    """A replay from its start to its end, as the page saw it with its own clock."""

    elapsed_ms: float
    samples: list[tuple[float, int]]
    """Per frame: the position in milliseconds, and how many characters were shown."""


_WATCH = """(patience_ms) => {
    const player = document.querySelector('[data-player-state]');
    const flow = document.querySelector('[data-lane=text]');
    window.replayed = new Promise((resolve, reject) => {
        setTimeout(() => reject(new Error('the replay does not come to its end')), patience_ms);
        let started;
        const samples = [];
        const sample = () => {
            samples.push([Number(player.dataset.positionMs), Number(flow.dataset.shownCharacters)]);
            if (player.dataset.playerState === 'playing') requestAnimationFrame(sample);
        };
        new MutationObserver((_, observer) => {
            if (player.dataset.playerState === 'playing' && started === undefined) {
                started = performance.now();
                requestAnimationFrame(sample);
            }
            if (player.dataset.playerState === 'ended' && started !== undefined) {
                observer.disconnect();
                resolve({ elapsed_ms: performance.now() - started, samples });
            }
        }).observe(player, { attributes: true, attributeFilter: ['data-player-state'] });
    });
}"""


def replayed(page: Page, key: str = "Space") -> Played:
    """Plays the trace with a key, to its end."""
    page.evaluate(_WATCH, PATIENCE_S * 1000)
    page.keyboard.press(key)
    found: dict[str, Any] = page.evaluate("window.replayed")
    return Played(found["elapsed_ms"], [(position, shown) for position, shown in found["samples"]])
