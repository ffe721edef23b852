"""A report as one HTML file that needs nothing else: style, tables, figures, provenance."""
from __future__ import annotations

import datetime
from collections.abc import Sequence
from html import escape

from . import figures, tables
from .grouping import Family, Group
from .run_file import Run
from .style import Picture

STYLE = """
:root { --ink: #1f2933; --quiet: #5c6773; --line: #d9dee4; --tint: #f6f8fa; --link: #0b5c94; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: #fff; color: var(--ink); font: 16px/1.5 "Source Sans 3", "Helvetica Neue", Helvetica,
  Arial, "Liberation Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 32px 72px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 21px; margin: 44px 0 10px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 16px; margin: 26px 0 6px; }
p { margin: 6px 0; max-width: 78ch; }
.lead { color: var(--quiet); margin-bottom: 18px; }
nav { font-size: 14px; margin: 14px 0 4px; } nav a { margin-right: 16px; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
.notice { background: #fff7e6; border-left: 4px solid #e69f00; padding: 10px 14px; margin: 16px 0; font-size: 15px; }
.notice ul { margin: 4px 0 0; padding-left: 20px; }
.scroll { overflow-x: auto; margin: 10px 0 6px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; width: 100%; }
caption, figcaption { caption-side: top; text-align: left; font-size: 14px; color: var(--quiet); padding: 2px 0 6px; }
caption b, figcaption b { color: var(--ink); }
th { text-align: right; font-weight: 600; vertical-align: bottom; padding: 6px 10px; border-top: 1.5px solid var(--ink);
  border-bottom: 1px solid var(--ink); line-height: 1.25; }
td { text-align: right; padding: 5px 10px; border-bottom: 1px solid #eceff2; white-space: nowrap; }
tbody tr:last-child td { border-bottom: 1.5px solid var(--ink); }
tbody tr:hover td { background: var(--tint); }
th:first-child, td:first-child { padding-left: 2px; }
.text { text-align: left; } .missing { color: #9aa5b1; }
.deployed { font-weight: 700; } .better { color: #00654a; } .worse { color: #a83c00; }
.notes { font-size: 13.5px; color: var(--quiet); } .notes p { margin: 2px 0; max-width: none; }
figure { margin: 18px 0 8px; } figure > svg { width: 100%; height: auto; display: block; }
svg * { stroke-linejoin: round; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 20px; margin: 2px 0 6px; padding: 0; font-size: 13.5px; }
.legend li { display: flex; align-items: center; gap: 7px; }
details { margin: 8px 0; } summary { cursor: pointer; font-weight: 600; }
summary .quiet { font-weight: 400; } .quiet { color: var(--quiet); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 18px; font-size: 14px; margin: 8px 0 12px; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
code, pre, .mono { font: 12.5px/1.45 "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { background: var(--tint); padding: 12px 14px; overflow-x: auto; border-radius: 4px; }
.narrow table { width: auto; min-width: 380px; }
footer { margin-top: 48px; font-size: 13px; color: var(--quiet); border-top: 1px solid var(--line); padding-top: 10px; }
@media print { main { max-width: none; padding: 0; } nav { display: none; } details { break-inside: avoid; } }
"""

PROVENANCE = (("git_commit", "git commit"), ("tether_version", "tether version"), ("compiler", "compiler"),
              ("libraries", "libraries"), ("job_hash", "job hash"), ("seed", "seed"), ("hosts", "hosts"),
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


def _cell(cell: tables.Cell, tag: str = "td") -> str:
    title = f' title="{escape(cell.title)}"' if cell.title else ""
    kind = f' class="{cell.kind}"' if cell.kind and cell.kind != "number" else ""
    return f"<{tag}{kind}{title}>{escape(cell.text)}</{tag}>"


def _table(table: tables.TableText, caption: str, narrow: bool = False) -> str:
    head = "".join(_cell(cell, "th") for cell in table.head)
    rows = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in table.rows)
    notes = "".join(f"<p>{escape(note)}</p>" for note in table.notes)
    return (f'<div class="scroll{" narrow" if narrow else ""}"><table><caption>{caption}</caption>'
            f"<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
            + (f'<div class="notes">{notes}</div>' if notes else ""))


DASHES = {"--": "6 3", ":": "1.5 3", "-.": "6 2.5 1.5 2.5"}


def _key(colour: str, line: str) -> str:
    if line == "block":
        return f'<svg width="12" height="12"><rect width="12" height="12" fill="{colour}"/></svg>'
    dash = f' stroke-dasharray="{DASHES[line]}"' if line in DASHES else ""
    return f'<svg width="26" height="8"><line x1="0" y1="4" x2="26" y2="4" stroke="{colour}" stroke-width="2.5"{dash}/></svg>'


def _figure(shown: Picture | None, caption: str) -> str:
    if shown is None:
        return ""
    legend = "".join(f"<li>{_key(colour, line)}{escape(label)}</li>" for label, colour, line in shown.legend)
    return f'<figure><figcaption>{caption}</figcaption><ul class="legend">{legend}</ul>{shown.svg}</figure>'


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _lead(runs: Sequence[Run], found: Sequence[Family]) -> str:
    by_state: dict[str, int] = {}
    for run in runs:
        by_state[run.condition] = by_state.get(run.condition, 0) + 1
    states = ", ".join(f"{count} {state}" for state, count in sorted(by_state.items()))
    groups = sum(len(family.groups) for family in found)
    return f"{_plural(len(runs), 'run')} ({states}) of {_plural(groups, 'configuration')}"


def _notices(runs: Sequence[Run]) -> str:
    said = {"running": "is still running; this is what it had committed when the page was made",
            "killed": "was killed: its file says running and no process holds its lease; shown up to its last commit",
            "stopped": "was stopped before its end; the same command goes on from there", "failed": "failed",
            "starting": "has only started"}
    items = []
    for run in runs:
        reasons = [said[run.condition]] if run.condition in said else []
        reasons += run.problems if run.condition != "starting" else []
        if reasons:
            items.append(f"<li><b>{escape(run.name)}</b> {escape('; '.join(reasons))}.</li>")
    return f'<div class="notice"><b>Not all runs are complete.</b><ul>{"".join(items)}</ul></div>' if items else ""


def _constraints(family: Family, key: str, numbered: Numbered) -> str:
    out = []
    for index, group in enumerate(family.groups):
        if not group.has_branches:
            continue
        shown = False
        for run in group.runs:
            shown_figure = figures.constraint(run, f"{key}c{index}r{group.runs.index(run)}")
            if shown_figure is None:
                continue
            title = f"{escape(group.label)}, seed {run.seed}"
            body = _figure(shown_figure, numbered.label("Figure", f"{title}: one line per site, from the first (dark) to the "
                                               "last (light)."))
            price = tables.sites_by_price(run)
            if price is not None:
                body += _table(price, numbered.label("Table", f"{title}: sites by the size of their last multiplier. "
                                                     "A large λ marks a site where symmetry is expensive."), True)
            opened = "" if shown else " open"
            out.append(f'<details{opened}><summary>{title} <span class="quiet">{escape(run.name)}</span></summary>'
                       f"{body}</details>")
            shown = True
    return "<h3>Gates and multipliers</h3>" + "".join(out) if out else ""


def _timing_labels(groups: Sequence[Group]) -> list[tuple[Run, str]]:
    return [(run, f"{group.label}, seed {run.seed}") for group in groups for run in group.runs]


def _family(family: Family, key: str, numbered: Numbered) -> str:
    scale, label = tables.scale_of(family)
    batch = [f'<h2 id="{key}">{escape(family.title[:1].upper() + family.title[1:])}</h2>']
    batch.append(_table(tables.results(family), numbered.label(
        "Table", f"Test {escape(label)}, {escape(family.title)}; strict networks beside the methods.")))
    batch.append(_figure(figures.validation(family, key + "v", scale, label), numbered.label(
        "Figure", "Validation during training; circles mark the evaluations chosen as best. Lines are means over "
        "seeds, bands reach from the lowest to the highest run.")))
    batch.append(_constraints(family, key, numbered))
    units = next((run.table("/symmetry").units.get("error_mean", "1") for group in family.groups for run in group.runs
                  if len(run.table("/symmetry"))), "1")
    error = figures.symmetry(family, key + "s", units)
    if error:
        batch.append("<h3>Equivariance error</h3>" + _figure(error, numbered.label(
            "Figure", "Mean over outputs and random group elements of ‖f(gx) − g f(x)‖. Projected networks show "
            "rounding only." + (" The constants of the bound are estimated on a batch."
                                if any(entry[0] == "estimated bound" for entry in error.legend) else ""))))
    train = figures.training(family, key + "t")
    if train:
        batch.append("<h3>Training</h3>" + _figure(train, numbered.label(
            "Figure", "Mean task loss since the row before, and norm of the gradient of the Lagrangian before "
            "clipping.")))
    labelled = _timing_labels(family.groups)
    spent = figures.timing([run for run, _ in labelled], [text for _, text in labelled], key + "m")
    if spent:
        batch.append("<h3>Where the time goes</h3>" + _figure(spent, numbered.label(
            "Figure", "Wall time per training step by phase.")))
    batch.append("<h3>Runs</h3>" + _table(tables.runs_table(family), numbered.label(
        "Table", f"All runs of this task; figures are {escape(label)}.")))
    return "\n".join(batch)


def _provenance(runs: Sequence[Run]) -> str:
    out = ['<h2 id="provenance">Provenance</h2>']
    for run in runs:
        facts = {**run.meta, "state_sha256": run.state_sha256 or run.meta.get("state_sha256", "")}
        items = [f"<dt>{escape(label)}</dt><dd{' class=mono' if name in MONOSPACED else ''}>{escape(str(facts[name]))}</dd>"
                 for name, label in PROVENANCE if str(facts.get(name, "")) != ""]
        job = f"<details><summary>resolved job</summary><pre>{escape(str(run.meta.get('job', '')))}</pre></details>"
        out.append(f'<details{" open" if len(runs) <= 2 else ""}><summary>{escape(run.name)} '
                   f'<span class="quiet">{escape(run.condition)}</span></summary>'
                   f"<dl><dt>folder</dt><dd>{escape(str(run.path))}</dd>{''.join(items)}</dl>"
                   f"{job if run.meta.get('job') else ''}</details>")
    return "\n".join(out)


def write_page(runs: Sequence[Run], found: Sequence[Family], title: str) -> str:
    numbered = Numbered()
    keys = [f"f{index}" for index in range(len(found))]
    sections = "\n".join(_family(family, key, numbered) for family, key in zip(found, keys))
    links = "".join(f'<a href="#{key}">{escape(family.title)}</a>' for family, key in zip(found, keys))
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{STYLE}</style></head>
<body><main>
<h1>{escape(title)}</h1>
<p class="lead">{escape(_lead(runs, found))}; written {now} by tether's analysis/report.</p>
<nav>{links}<a href="#provenance">provenance</a></nav>
{_notices(runs)}
{sections}
{_provenance(runs)}
<footer>Projected: γ = 0, the free branches are absent and the network is exactly equivariant. Relaxed: γ as trained.
All numbers are read from the runs' <code>run.h5</code>, cut to their committed rows.</footer>
</main></body></html>
"""
