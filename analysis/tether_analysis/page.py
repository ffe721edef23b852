"""A report as one HTML file that needs nothing else: style, tables, figures, provenance."""
from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from . import figures, scaling_file, site_figures, sweep_figures, tables
from .grouping import Family, Group
from .run_file import Run
from .style import Picture

HERE = Path(__file__).resolve().parent
DETAILED = 24  # curves of gates and multipliers by run in one task; beyond, those of the first seeds

PROVENANCE = (("git_commit", "git commit"), ("tether_version", "tether version"), ("compiler", "compiler"),
              ("libraries", "libraries"), ("job_hash", "job hash"), ("group", "symmetry group"), ("seed", "seed"), ("hosts", "hosts"),
              ("processor", "processor"), ("instruction_set", "instruction set"), ("devices", "devices"),
              ("ranks", "ranks"), ("threads", "threads"), ("started", "started"), ("written", "written"),
              ("restarts", "restarts"), ("data_sha256", "data SHA-256"), ("state_sha256", "state SHA-256"))
MONOSPACED = ("git_commit", "job_hash", "data_sha256", "state_sha256")


class Numbered:
    """Numbers tables and figures as they are written."""

    def __init__(self) -> None:
        self.counts = {"Table": 0, "Figure": 0}

    def label(self, kind: str, text: str) -> str:
        self.counts[kind] += 1
        return f"<b>{kind} {self.counts[kind]}.</b> {text}"


def _facets(facets: dict[str, str], words: str) -> str:
    told = "".join(f' data-{name}="{escape(value)}"' for name, value in facets.items())
    return told + f' data-word="{escape(words)}"'


def _cell(cell: tables.Cell, tag: str = "td") -> str:
    title = f' title="{escape(cell.title)}"' if cell.title else ""
    kind = f' class="{cell.kind}"' if cell.kind and cell.kind != "number" else ""
    key = f' data-sort="{cell.sort:.12g}"' if isinstance(cell.sort, (int, float)) and math.isfinite(cell.sort) else ""
    return f"<{tag}{kind}{title}{key}>{escape(cell.text)}</{tag}>"


def _row(row: Sequence[tables.Cell], facets: dict[str, str]) -> str:
    words = " ".join(cell.text for cell in row if cell.kind == "text")
    return f"<tr{_facets(facets, words) if facets else ''}>{''.join(map(_cell, row))}</tr>"


def _table(table: tables.TableText, caption: str, kind: str = "wide") -> str:
    """kind: `wide`; `runs`, what the filter counts; `narrow`, one that stands in a section with facets of its own."""
    head = "".join(_cell(cell, "th") for cell in table.head)
    facets = table.facets if kind != "narrow" else [{} for _ in table.rows]
    rows = "\n".join(map(_row, table.rows, facets))
    notes = "".join(f"<p>{escape(note)}</p>" for note in table.notes)
    return (f'<div class="scroll {kind}"><table class="{kind}"><caption>{caption}</caption>'
            f"<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
            + (f'<div class="notes">{notes}</div>' if notes else ""))


DASHES = {"--": "6 3", ":": "1.5 3", "-.": "6 2.5 1.5 2.5"}


def _key(colour: str, line: str) -> str:
    if line == "block":
        return f'<svg width="12" height="12"><rect width="12" height="12" fill="{colour}"/></svg>'
    dash = f' stroke-dasharray="{DASHES[line]}"' if line in DASHES else ""
    return f'<svg width="26" height="8"><line x1="0" y1="4" x2="26" y2="4" stroke="{colour}" stroke-width="2.5"{dash}/></svg>'


def _figure(shown: Picture | None, caption: str, groups: Sequence[Group] = ()) -> str:
    """groups: those that series s0, s1, … stand for, so that filters reach their curves."""
    if shown is None:
        return ""
    entries = []
    for entry in shown.legend:
        told = ""
        if entry.series:
            number = int(entry.series[1:])
            told = f' data-series="{entry.series}"'
            if number < len(groups):
                told += _facets(tables.facets_of(groups[number]), entry.label)
        entries.append(f"<li{told}>{_key(entry.colour, entry.line)}{escape(entry.label)}</li>")
    legend = f'<ul class="legend">{"".join(entries)}</ul>' if entries else ""
    return f"<figure><figcaption>{caption}</figcaption>{legend}{shown.svg}</figure>"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _lead(runs: Sequence[Run], found: Sequence[Family]) -> str:
    by_state: dict[str, int] = {}
    for run in runs:
        by_state[run.condition] = by_state.get(run.condition, 0) + 1
    states = ", ".join(f"{count} {state}" for state, count in sorted(by_state.items()))
    groups = sum(len(family.groups) for family in found)
    return f"{_plural(len(runs), 'run')} ({states}) of {_plural(groups, 'configuration')}"


SAID = {"running": "is still running; this is what it had committed when the page was made",
        "killed": "was killed: its file says running and no process holds its lease; shown up to its last commit",
        "stopped": "was stopped before its end; the same command goes on from there", "failed": "failed",
        "starting": "has only started", "waiting": "has not started"}


def _notices(runs: Sequence[Run], problems: Sequence[str]) -> str:
    items = [f"<li>{escape(problem)}.</li>" for problem in problems]
    for run in runs:
        reasons = [SAID[run.condition]] if run.condition in SAID else []
        reasons += run.problems if run.condition != "starting" else []
        if reasons:
            items.append(f"<li{_facets(tables.facets_of_run(run), run.name)}><b>{escape(run.name)}</b> "
                         f"{escape('; '.join(reasons))}.</li>")
    if not items:
        return ""
    body = f"<ul>{''.join(items)}</ul>"
    if len(items) > 8:
        body = f"<details><summary>{len(items)} notices</summary>{body}</details>"
    return f'<div class="notice"><b>Not all runs are complete.</b>{body}</div>'


def _detailed(family: Family) -> list[tuple[Group, Run]]:
    """The runs whose curves are shown one by one."""
    every = [(group, run) for group in family.groups if group.has_branches for run in group.runs
             if run.table("/constraint").columns]
    if len(every) <= DETAILED:
        return every
    firsts = [(group, next(run for run in group.counted() if run.table("/constraint").columns)) for group in
              family.groups if any(group is other for other, _ in every)
              and any(run.table("/constraint").columns for run in group.counted())]
    return firsts[:DETAILED]


def _constraints(family: Family, key: str, numbered: Numbered) -> str:
    shown = _detailed(family)
    out: list[str] = []
    for index, (group, run) in enumerate(shown):
        drawn = figures.constraint(run, f"{key}c{index}")
        if drawn is None:
            continue
        title = f"{escape(group.label)}, seed {run.seed}"
        body = _figure(drawn, numbered.label("Figure", f"{title}: one line per site, from the first (dark) to the last "
                                             "(light)."))
        out.append(f"<details{'' if out else ' open'}{_facets(tables.facets_of(group, [run]), f'{group.label} {run.name}')}>"
                   f'<summary>{title} <span class="quiet">{escape(run.name)}</span></summary>{body}</details>')
    if not out:
        return ""
    every = sum(len(group.runs) for group in family.groups if group.has_branches)
    told = (f"<p class=quiet>Curves of {len(out)} of {every} runs, the first seed of each configuration; "
            "<code>analysis/export</code> writes those of all.</p>") if len(shown) < every and every > DETAILED else ""
    return "<h3>Gates and multipliers</h3>" + told + "".join(out)


def _sites(family: Family, key: str, numbered: Numbered) -> str:
    """Phase portraits, whether the gates come to rest, and sites ranked by their multipliers."""
    out = []
    portraits = site_figures.phase_portraits(family, key + "p")
    if portraits:
        count, every = len(site_figures.shown_portraits(family)), len(site_figures.moving_groups(family))
        told = f" {count} of {every} configurations." if count < every else ""
        out.append("<h3>Phase portraits</h3>" + _figure(portraits, numbered.label(
            "Figure", "Multiplier against gate, one line per site, from the circle (start) to the square (end): what "
            "oscillates undamped stays on a ring, what is damped winds into a point." + told)))
    rest = tables.oscillations(family)
    if rest:
        out.append(_table(rest, numbered.label("Table", "Do the gates come to rest? Swing: half the range of γ about a "
                                               "straight course in that part of training, mean over sites and runs.")))
    slack = site_figures.slack_by_depth(family, key + "u")
    if slack:
        out.append("<h3>Slack by site</h3>" + _figure(slack, numbered.label(
            "Figure", "Slack of each site over the last quarter of training, from the first site to the last; the band "
            "reaches from the lowest to the highest run."), family.groups))
    ranked: list[str] = []
    for index, group in enumerate(site_figures.moving_groups(family)[:DETAILED]):
        drawn = site_figures.ranked_sites(group, f"{key}r{index}")
        price = tables.sites_by_price(group)
        if drawn is None or price is None:
            continue
        body = _figure(drawn, numbered.label("Figure", f"{escape(group.label)}: sites by the size of their multiplier, the "
                                             "dearest first. Bars: mean over the last quarter of training and over seeds "
                                             "(dots: single runs); lines: how far the value swings."))
        body += _table(price, numbered.label("Table", f"{escape(group.label)}: the same in numbers. A large λ marks a site "
                                             "where symmetry is expensive."), "narrow")
        ranked.append(f"<details{'' if ranked else ' open'}{_facets(tables.facets_of(group), group.label)}>"
                      f"<summary>{escape(group.label)}</summary>{body}</details>")
    return "\n".join(out) + ("<h3>Sites ranked by λ</h3>" + "".join(ranked) if ranked else "")


def _swept(family: Family, key: str, numbered: Numbered, scale: float, label: str) -> str:
    """The metric against every number that the runs vary, and strong scaling."""
    out = []
    for index, name in enumerate(sweep_figures.varying_numbers(family)):
        drawn = sweep_figures.sensitivity(family, name, f"{key}w{index}", scale, label)
        if drawn is None:
            continue
        out.append(f"<h3>{escape(sweep_figures.title_of(name))}</h3>" + _figure(drawn, numbered.label(
            "Figure", f"Test {escape(label)} of the deployed evaluation against <code>{escape(name)}</code>: means over "
            "seeds with their 95 % intervals, dots are single runs; a line connects what differs in nothing else.")))
        if name == sweep_figures.SAMPLES and (equal := sweep_figures.equal_samples(family)):
            notes = f'<div class="notes">{"".join(f"<p>{escape(text)}.</p>" for text in equal)}</div>'
            out.append(notes if len(equal) <= 6 else
                       f"<details><summary>How many samples the baseline needs for as much</summary>{notes}</details>")
    drawn = sweep_figures.scaling(family, key + "x")
    if drawn:
        out.append("<h3>Scaling</h3>" + _figure(drawn, numbered.label(
            "Figure", "Time of a training step, evaluations and checkpoints left out, against the number of workers.")))
    return "\n".join(out)


def _group_of(family: Family) -> str:
    """The symmetry group under which errors are measured, where the run files say it."""
    told = {str(run.meta["group"]) for group in family.groups for run in group.runs if run.meta.get("group")}
    return escape(told.pop()) if len(told) == 1 else "the symmetry group"


def _family(family: Family, key: str, numbered: Numbered) -> str:
    scale, label = tables.scale_of(family)
    batch = [f'<h2 id="{key}">{escape(family.title[:1].upper() + family.title[1:])}</h2>']
    batch.append(_table(tables.results(family), numbered.label(
        "Table", f"Test {escape(label)}, {escape(family.title)}; strict networks beside the methods.")))
    curves = len(figures.curve_groups(family))
    chosen = f" {curves} of {len(family.groups)} configurations: the baselines and the best on validation." if \
        curves < len(family.groups) else ""
    batch.append(_figure(figures.validation(family, key + "v", scale, label), numbered.label(
        "Figure", "Validation during training; circles mark the evaluations chosen as best. Lines are means over "
        "seeds, bands reach from the lowest to the highest run." + chosen), family.groups))
    batch.append(_swept(family, key, numbered, scale, label))
    batch.append(_constraints(family, key, numbered))
    batch.append(_sites(family, key, numbered))
    panels = figures.symmetry_groups(family)
    error = figures.symmetry(family, key + "s", figures.symmetry_units(family))
    if error:
        batch.append("<h3>Equivariance error</h3>" + _figure(error, numbered.label(
            "Figure", f"Mean over outputs and random elements of {_group_of(family)} of ‖f(gx) − g f(x)‖. Projected networks show "
            "rounding only." + (" The constants of the bound are estimated on a batch."
                                if any(entry.label == "estimated bound" for entry in error.legend) else "")
            + ("" if len(panels) <= figures.PANELS else f" {figures.PANELS} of {len(panels)} configurations."))))
    train = figures.training(family, key + "t")
    if train:
        batch.append("<h3>Training</h3>" + _figure(train, numbered.label(
            "Figure", "Mean task loss since the row before, and norm of the gradient of the Lagrangian before "
            "clipping." + chosen), family.groups))
    spent = figures.timing(family, key + "m")
    if spent:
        batch.append("<h3>Where the time goes</h3>" + _figure(spent, numbered.label(
            "Figure", "Wall time per training step by phase, mean over the runs of a configuration where there are "
            "many.")))
    batch.append("<h3>Runs</h3>" + _table(tables.runs_table(family), numbered.label(
        "Table", f"All runs of this task; figures are {escape(label)}."), "runs"))
    return "\n".join(batch)


def _provenance(runs: Sequence[Run]) -> str:
    out = ['<h2 id="provenance">Provenance</h2>']
    for run in runs:
        facts = {**run.meta, "state_sha256": run.state_sha256 or run.meta.get("state_sha256", "")}
        items = [f"<dt>{escape(label)}</dt><dd{' class=mono' if name in MONOSPACED else ''}>{escape(str(facts[name]))}</dd>"
                 for name, label in PROVENANCE if str(facts.get(name, "")) != ""]
        job = f"<details><summary>resolved job</summary><pre>{escape(str(run.meta.get('job', '')))}</pre></details>"
        out.append(f'<details{" open" if len(runs) <= 2 else ""}{_facets(tables.facets_of_run(run), run.name)}>'
                   f'<summary>{escape(run.name)} '
                   f'<span class="quiet">{escape(run.condition)}</span></summary>'
                   f"<dl><dt>folder</dt><dd>{escape(str(run.path))}</dd>{''.join(items)}</dl>"
                   f"{job if run.meta.get('job') else ''}</details>")
    return "\n".join(out)


FILTERS = """<form class="filters" onsubmit="return false" aria-label="filters"><input type="search" placeholder="find …"
aria-label="find runs and configurations"><button type="button">show all</button><output></output></form>"""


def _others(runs: Sequence[Run], numbered: Numbered) -> str:
    left = [run for run in runs if run.condition in ("waiting", "starting", "unreadable")]
    if not left:
        return ""
    return '<h2 id="others">Runs without figures</h2>' + _table(tables.others_table(left), numbered.label(
        "Table", "Runs that have not started, have no rows yet, or whose file cannot be read."), "runs")


def _measured(measured: Sequence[scaling_file.ScalingFile], numbered: Numbered) -> str:
    """What slurm/multi_node_benchmark wrote."""
    out = []
    for index, file in enumerate(measured):
        name = escape(file.path.name)
        said = "; ".join(scaling_file.SERIES[series] for series in file.series)
        out.append(f'<h2 id="m{index}">Scaling: {name}</h2>' + _figure(scaling_file.figure(file, f"m{index}x"), numbered.label(
            "Figure", f"Whole training steps on growing numbers of ranks ({said}): medians, bars from the fastest to the "
            "slowest step; efficiency against the fewest ranks.")))
        out.append(_table(scaling_file.table(file), numbered.label(
            "Table", f"The same in numbers; measured {escape(file.created)} by {escape(file.tether)}."), "narrow"))
        out.append(f"<details><summary>The job</summary><pre>{escape(file.job)}</pre></details>")
    return "\n".join(out)


def write_page(runs: Sequence[Run], found: Sequence[Family], title: str, problems: Sequence[str] = (),
               measured: Sequence[scaling_file.ScalingFile] = ()) -> str:
    """problems: what is to be said besides the runs' own, such as a manifest that cannot be read."""
    numbered = Numbered()
    keys = [f"f{index}" for index in range(len(found))]
    sections = "\n".join(_family(family, key, numbered) for family, key in zip(found, keys))
    others = _others(runs, numbered)
    links = "".join(f'<a href="#{key}">{escape(family.title)}</a>' for family, key in zip(found, keys))
    links += '<a href="#others">runs without figures</a>' if others else ""
    links += "".join(f'<a href="#m{index}">scaling: {escape(file.path.name)}</a>' for index, file in enumerate(measured))
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{(HERE / "page.css").read_text(encoding="utf-8")}</style></head>
<body><main>
<h1>{escape(title)}</h1>
<p class="lead">{escape(_lead(runs, found) if runs else _plural(len(measured), "measurement of scaling"))}; written {now} by tether's analysis/report.</p>
<nav>{links}{'<a href="#provenance">provenance</a>' if runs else ""}</nav>
{_notices(runs, problems)}
{FILTERS if runs else ""}
{sections}
{others}
{_measured(measured, numbered)}
{_provenance(runs) if runs else ""}
<footer>Projected: γ = 0, the free branches are absent and the network is exactly equivariant. Relaxed: γ as trained.
All numbers are read from the runs' <code>run.h5</code>, cut to their committed rows. Filters hide rows, sections and
curves; means and intervals stay those of all counted runs.</footer>
</main><script>{(HERE / "page.js").read_text(encoding="utf-8")}</script></body></html>
"""
