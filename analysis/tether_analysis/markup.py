"""Tables as text for papers and repositories: Markdown and LaTeX (booktabs). What stands in them is what
stands in the report; numbers with all their digits are what `compare` gives.
"""
from __future__ import annotations

import re

from .tables import Cell, TableText

RAISED = dict(zip("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
         "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "γ": r"$\gamma$", "λ": r"$\lambda$", "η": r"$\eta$",
         "–": "--", "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$", "<": "$<$", ">": "$>$",
         "|": r"$|$", "…": r"\dots{}", "\u202f": r"\,", "Å": r"\AA{}", "²": "$^2$", "α": r"$\alpha$"}


def markdown(table: TableText) -> str:
    def text(cell: Cell) -> str:
        shown = cell.text.replace("\\", "\\\\").replace("|", "\\|")
        return f"**{shown}**" if cell.kind == "deployed" else shown

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    rows = [line([text(cell) for cell in table.head]),
            line([":--" if cell.kind == "text" else "--:" for cell in table.head])]
    rows += [line([text(cell) for cell in row]) for row in table.rows]
    return "\n".join(rows) + "\n" + "".join(f"\n{_starred(note)}\n" for note in table.notes)


def _starred(note: str) -> str:
    return "\\" + note if note.startswith("*") else note


def latex_text(text: str) -> str:
    """Any text as LaTeX: numbers with signs, powers and intervals in mathematics."""
    text = "".join(LATEX.get(letter, letter) for letter in text)
    text = re.sub("10([" + "".join(RAISED) + "]+)",
                  lambda found: "$10^{" + "".join(RAISED[letter] for letter in found[1]) + "}$", text)
    return text.replace("$$", "")


def latex(table: TableText, caption: str = "", label: str = "") -> str:
    columns = "".join("l" if cell.kind == "text" else "r" for cell in table.head)

    def text(cell: Cell) -> str:
        shown = latex_text(cell.text)
        return rf"\textbf{{{shown}}}" if cell.kind == "deployed" else shown

    def line(cells: list[Cell]) -> str:
        return "    " + " & ".join(map(text, cells)) + r" \\"

    out = [r"\begin{table}", r"  \centering"]
    out += [rf"  \caption{{{latex_text(caption)}}}"] if caption else []
    out += [rf"  \label{{{label}}}"] if label else []
    out += [rf"  \begin{{tabular}}{{{columns}}}", r"    \toprule", line(table.head), r"    \midrule"]
    out += [line(row) for row in table.rows]
    out += [r"    \bottomrule", r"  \end{tabular}", *(rf"  % {note}" for note in table.notes), r"\end{table}", ""]
    return "\n".join(out)
