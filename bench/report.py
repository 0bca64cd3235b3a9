"""What the relay benchmark measured: ratios to Tailrace, the goals, and the tables."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

NGINX_RATIO = 1.8
LITELLM_RATIO = 30.0
STREAMS = 1000
MERGED = 1.1
"""Above it, CPU time a chunk says how far a server is behind, and not what it costs."""


@dataclass
class Subject:
    """One thing that the load goes through, and what was measured of it."""

    name: str
    url: str
    pid: int
    key: str = "bench"
    is_slow: bool = False
    """It gets a twentieth of the load of events."""
    note: str = ""
    is_exact: bool = True
    """Whether every body came through byte for byte."""
    rounds: list[dict[str, float]] = field(default_factory=list)
    sustained: dict[str, object] = field(default_factory=dict)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def compare(own: Subject, other: Subject, of: Callable[[float, float], float], key: str) -> dict[str, float]:
    """The spread of a comparison that is made within each round."""
    return spread([of(mine[key], base[key]) for mine, base in zip(own.rounds, other.rounds, strict=True)])


def summarise(direct: Subject, others: list[Subject], peers: list[Subject]) -> dict[str, object]:
    """Per subject: medians with spread, what is added to the direct load, and the ratios to Tailrace."""
    reference = others[0]
    rows: dict[str, dict[str, object]] = {}
    for subject in (direct, *others, *peers):
        row: dict[str, object] = {key: spread([one[key] for one in subject.rounds]) for key in subject.rounds[0]}
        rows[subject.name] = row
        if subject is not direct:
            added = [key for key in row if key.startswith(("event_", "gap_", "ttft_"))]
            for key in added:
                row[f"added_{key}"] = compare(subject, direct, lambda mine, base: mine - base, key)
            for key in ("cpu_us", "request_us"):
                row[f"{key}_ratio"] = compare(subject, reference, lambda mine, base: mine / base, key)
        row["sustained"] = subject.sustained
        row["is_exact"], row["is_slow"], row["note"] = subject.is_exact, subject.is_slow, subject.note
        row["rounds"] = subject.rounds
    return {"reference": reference.name, "subjects": rows, "goals": goals(direct, reference, peers)}


def goals(direct: Subject, reference: Subject, peers: list[Subject]) -> dict[str, str]:
    """Each goal, with yes or no and the figure, or why it cannot be told."""
    by_name = {peer.name: peer for peer in peers}
    answers: dict[str, str] = {}

    def ratio_to(name: str, goal: str, is_met: Callable[[float], bool]) -> None:
        if name not in by_name:
            answers[goal] = f"not told: {name} was not measured"
            return
        merged = max(spread([one["merged"] for one in who.rounds])["median"] for who in (reference, by_name[name]))
        if merged > MERGED:
            answers[goal] = f"not told: a server had fallen behind (merged {merged:.2f}), its CPU time looks too low"
            return
        seen = compare(reference, by_name[name], lambda mine, base: mine / base, "cpu_us")
        share = f"{seen['median']:.2f} x" if seen["median"] > 0.1 else f"1 / {1 / seen['median']:.1f}"
        lowest, highest = sorted((seen["low"], seen["high"]))
        between = f"{lowest:.2f} to {highest:.2f}" if lowest > 0.1 else f"1 / {1 / lowest:.1f} to 1 / {1 / highest:.1f}"
        answers[goal] = f"{'yes' if is_met(seen['median']) else 'no'}: {share} ({between})"

    ratio_to("nginx", f"CPU time a chunk at most {NGINX_RATIO} x nginx's", lambda ratio: ratio <= NGINX_RATIO)
    ratio_to("litellm", f"CPU time a chunk at most LiteLLM's / {LITELLM_RATIO:g}", lambda r: r <= 1 / LITELLM_RATIO)
    goal = f"{STREAMS:,} streams sustained in one worker"
    if not reference.sustained:
        answers[goal] = "not told: it was not measured"
        return answers
    able, streams = (int(str(one.sustained["streams"])) for one in (direct, reference))
    verdict = "yes" if streams >= STREAMS else "no" if able >= STREAMS else "not told"
    limit = "" if able > streams else ", which is the most that was tried or that the load itself can do"
    answers[goal] = f"{verdict}: {streams:,}{limit}"
    return answers


def show(settings: dict[str, object], result: dict[str, object]) -> None:
    """Print it all."""
    subjects, skipped, answers = result["subjects"], result["skipped"], result["goals"]
    assert isinstance(subjects, dict)
    assert isinstance(skipped, dict)
    assert isinstance(answers, dict)
    reference = str(result["reference"])
    print(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items() if value is not None))
    direct = subjects["direct"]
    servers = [(name, row) for name, row in subjects.items() if row is not direct]
    _table(
        f"CPU time, microseconds (x: over {reference}'s in the same round)",
        ("a chunk", "x", "of it streaming", "merged", "a request", "x"),
        {
            _name(name, row): [
                _range(row["cpu_us"]),
                _median(row["cpu_us_ratio"]),
                _range(row["stream_us"]),
                _median(row["merged"]),
                _range(row["request_us"]),
                _median(row["request_us_ratio"]),
            ]
            for name, row in servers
        },
    )
    measured = [f"{what}_{share}_ms" for what in ("event", "gap", "ttft") for share in ("p50", "p99")]
    _table(
        "Latency, milliseconds: the direct load's own, and what each adds to it",
        ("event p50", "event p99", "gap p50", "gap p99", "TTFT p50", "TTFT p99"),
        {
            _name(name, row): [
                (_range if "p99" in key else _median)(row[f"added_{key}" if row is not direct else key])
                for key in measured
            ]
            for name, row in subjects.items()
        },
    )
    if subjects[reference]["sustained"]:
        most = int(subjects[reference]["sustained"]["streams"])
        _table(
            "Streams sustained at a pace of 20 ms: no gap over 200 ms, no event lost",
            ("streams", "x", "worst gap ms", "us a chunk", "merged", "cores", "RSS MB", "the next step"),
            {_name(name, row): _sustained(row["sustained"], most) for name, row in subjects.items()},
        )
    print("\n".join(_notes(subjects, skipped)))
    if "recorded" in result:
        print(result["recorded"])
    print("\nGoals")
    for goal, answer in answers.items():
        print(f"  {goal:<46} {answer}")


def _notes(subjects: dict[str, dict[str, object]], skipped: dict[str, str]) -> list[str]:
    load = subjects["direct"]["sustained"]
    assert isinstance(load, dict)
    lines = []
    if load and load["streams"]:
        lines.append(
            f"direct: the load itself; at {load['streams']:,} streams its two ends take {load['cores']:.2f} and "
            f"{load['client_cores']:.2f} of a core"
        )
    if load and load["beyond"] and int(str(load["streams"])) < STREAMS:
        lines.append(f"direct: the load itself does not sustain {STREAMS:,} streams here, so no server can show it")
    if any(row["is_slow"] for row in subjects.values()):
        lines.append("*: gets a twentieth of the load of events, a fifth of the streams at a quarter of the pace")
    lines += [f"{name}: {row['note']}" for name, row in subjects.items() if row["note"]]
    lines += [
        f"{name}: what it sends is not what the upstream sent" for name, row in subjects.items() if not row["is_exact"]
    ]
    return lines + [f"{name} was left out: {why}" for name, why in skipped.items()]


def _name(name: str, row: dict[str, object]) -> str:
    return name + ("*" if row["is_slow"] else "")


def _sustained(seen: dict[str, object], most: int) -> list[str]:
    beyond = seen["beyond"]
    next_step = f"{beyond['streams']:,}: {beyond['why']}" if isinstance(beyond, dict) else "not tried"
    if not seen["streams"]:
        return ["0", "-", "-", "-", "-", "-", "-", next_step[:44]]
    return [
        f"{seen['streams']:,}",
        f"{int(str(seen['streams'])) / most:.2f}" if most else "-",
        *(f"{seen[key]:.{digits}f}" for key, digits in (("worst_gap_ms", 0), ("cpu_us", 1), ("merged", 2))),
        *(f"{seen[key]:.{digits}f}" for key, digits in (("cores", 2), ("rss_mb", 0))),
        next_step[:44],
    ]


def _median(value: dict[str, float]) -> str:
    return f"{value['median']:.2f}".replace("-0.00", "0.00")


def _range(value: dict[str, float]) -> str:
    """Median (lowest-highest), with three digits or so."""
    places = max(0, 2 - max(0, math.floor(math.log10(max(abs(value["median"]), 1e-9)))))
    median, low, high = (f"{value[key]:.{places}f}".replace("-0.00", "0.00") for key in ("median", "low", "high"))
    return median if low == high else f"{median} ({low}..{high})"


def _table(title: str, columns: Sequence[str], rows: dict[str, list[str]]) -> None:
    """Right-aligned columns, each as wide as it must be; the last one to the left where it is text."""
    widths = [max(len(column), *(len(row[place]) for row in rows.values())) for place, column in enumerate(columns)]
    first = max(map(len, rows))
    print(f"\n{title}")
    for name, cells in {"": list(columns), **rows}.items():
        line = "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        print(f"  {name:<{first}}{line}".rstrip())
