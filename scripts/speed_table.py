"""README's table of speeds: a few rows and columns of docs/benchmarks.md, and how they were taken."""

BEGIN = "<!-- speed table: scripts/bench.py --readme makes it from docs/benchmarks.md -->"
END = "<!-- end of the speed table -->"

HEAD = """\
| model, tokens in a step | within | cutq trains | llama.cpp reads | PyTorch + PEFT trains |
|---|---|---:|---:|---:|"""


class Malformed(Exception):
    """A file does not have what the table needs."""


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def read(benchmarks):
    """The rows of docs/benchmarks.md by title of column, and the lines that say how they were taken."""
    lines = benchmarks.splitlines()
    taken = [line.removeprefix("- ") for line in lines if line.startswith("- ")][:2]
    table = [cells(line) for line in lines if line.startswith("|")]
    if len(taken) < 2 or len(table) < 3:
        raise Malformed("docs/benchmarks.md lacks the lines on how it was taken, or the table")
    titles, _, *rows = table
    return [dict(zip(titles, row)) for row in rows], taken


def rounded(cell):
    """`1002.9 ±3 %` as `1003`; nothing for a dash."""
    number = cell.split()[0]
    return "" if number == "–" else f"{float(number):.0f}"


def line(row, name):
    pytorch = rounded(row["PyTorch trains"])
    if pytorch:
        pytorch += f" in {row['PyTorch peak']}"
    return [name, row["cutq within"], rounded(row["cutq trains"]), rounded(row["llama.cpp reads"]), pytorch]


def render(benchmarks, names):
    """The table in Markdown. `names` gives README's name of each (model, step, budget) that it shows."""
    rows, (when, machine) = read(benchmarks)
    lines, previous = [], None
    for row in rows:
        model, step, within = row["model"], row["step"], row["cutq within"]
        if name := names.get((model, step, within)):
            repeated = (model, step) == previous
            lines.append(line(row, "the same" if repeated else f"{name}, {step}"))
            previous = (model, step)
    if not lines:
        raise Malformed("docs/benchmarks.md has no row that README shows")
    body = "\n".join("| " + " | ".join(row) + " |" for row in lines)
    return f"{HEAD}\n{body}\n\nTaken on {when}: {machine}."


def replace(readme, table):
    """README with the table between its marks."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise Malformed(f"README.md lacks {BEGIN!r} or {END!r}")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"
