"""The results as SVG: a bar a row for each engine on a logarithmic scale, and curves where a workload grew."""
import html
import math

from harness.report import median

WIDTH, LEFT, BAR, GAP = 900, 400, 11, 8
COLORS = {"kiln": "#2a6fbb", "peer": "#b9bec5"}


def write(results, path):
    bars = [r for r in results if r.scale == 1 and median(r, "kiln")]
    grown = sorted({r.row.id for r in results if r.scale > 1})
    parts, height = bar_chart(bars)
    for row in grown:
        parts += curve([r for r in results if r.row.id == row], height)
        height += 190
    body = "\n".join(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
                    f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n')


def text(x, y, words, more=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" {more}>{html.escape(str(words))}</text>'


def bar_chart(results):
    """Each row has its own scale: the slower engine fills the width."""
    parts, y = [text(10, 20, "kiln", f'fill="{COLORS["kiln"]}" font-weight="bold"'),
                text(60, 20, "another BuildKit, same run (shorter is better)", 'fill="#777"')], 34
    for result in results:
        values = {name: median(result, name) for name in ("kiln", "peer") if median(result, name) is not None}
        longest = max(values.values()) or 1
        parts.append(text(LEFT - 10, y + BAR + 3, f"{result.row.id}  {result.row.title}", 'text-anchor="end"'))
        for name, value in values.items():
            width = max(1.5, value / longest * (WIDTH - LEFT - 120))
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{COLORS[name]}"/>')
            parts.append(text(LEFT + width + 5, y + BAR - 1, f"{value:.4g} {result.row.unit}", 'font-size="10"'))
            y += BAR + 1
        y += GAP
    return parts, y + 10


def curve(results, top):
    """Cost against scale, both logarithmic; the dashed line grows as the scale does."""
    row = results[0].row
    parts = [text(10, top + 14, f"{row.id}  {row.title}: how it grows", 'font-weight="bold"')]
    scales = sorted({r.scale for r in results})
    values = [median(r, n) for r in results for n in ("kiln", "peer") if median(r, n)]
    low, high = math.log(min(values)), math.log(max(values) * scales[-1] / scales[-1])
    wide, tall = 360, 130
    place = lambda scale, value: (60 + wide * math.log(scale) / (math.log(scales[-1]) or 1),
                                  top + 25 + tall * (1 - (math.log(value) - low) / ((high - low) or 1)))
    for name in ("kiln", "peer"):
        points = [place(r.scale, median(r, name)) for r in sorted(results, key=lambda r: r.scale) if median(r, name)]
        if points:
            parts.append(f'<polyline fill="none" stroke="{COLORS[name]}" stroke-width="2" points="'
                         + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) + '"/>')
    first = next((median(r, "kiln") for r in results if r.scale == scales[0]), None)
    if first:
        (x1, y1), (x2, y2) = place(scales[0], first), place(scales[-1], min(first * scales[-1] / scales[0], math.exp(high)))
        parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#999" stroke-dasharray="4 3"/>')
    for r in results:
        if value := median(r, "kiln"):
            x, y = place(r.scale, value)
            parts.append(text(x + 4, y - 4, f"x{r.scale}: {value:.4g} {row.unit}", 'font-size="10"'))
    return parts
