"""The plot of the budget curves in Vega-Lite, for pages and notebooks: the data lie inside.

Grammar: https://vega.github.io/vega-lite/docs/ (version 5).
"""

import json
from typing import Any

from services.evaluator.style import colours
from shared.contracts.report import RunReport

SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"


def vega_lite(report: RunReport) -> str:
    """The specification as JSON: bands, lines (dashed where responses are cut), and points at whole responses and majorities.

    Weighted majorities, where there are any, have dotted lines and diamonds.
    """
    rows = [
        {"model": name, **point.model_dump(mode="json"), "tokens": max(point.avg_tokens, 1.0)}
        for name, curve in report.curves.items()
        for point in curve
    ]
    percent = {"format": ".0%", "domain": False, "ticks": False}
    x = {"field": "tokens", "type": "quantitative", "scale": {"type": "log", "nice": False}}
    x |= {"title": "average output tokens a problem", "axis": {"format": ",.0f", "grid": False, "labelOverlap": True}}
    y = {"field": "accuracy", "type": "quantitative", "title": "accuracy", "axis": percent}
    models = list(report.curves)
    colour: dict[str, Any] = {
        "field": "model",
        "type": "nominal",
        "title": None,
        "scale": {"domain": models, "range": colours(models)},
    }
    colour["legend"] = {"symbolOpacity": 1}
    tooltip = [
        {"field": "model", "type": "nominal"},
        {"field": "kind", "type": "nominal"},
        {"field": "k", "type": "quantitative"},
        {"field": "budget", "type": "quantitative", "title": "budget (tokens)", "format": ",d"},
        {"field": "avg_tokens", "type": "quantitative", "title": "average tokens", "format": ",.1f"},
        {"field": "accuracy", "type": "quantitative", "format": ".1%"},
        {"field": "low", "type": "quantitative", "title": "95% from", "format": ".1%"},
        {"field": "high", "type": "quantitative", "title": "95% to", "format": ".1%"},
    ]
    kind = {"field": "kind", "type": "nominal"}
    dashed: dict[str, Any] = {"condition": {"test": "datum.kind === 'cut'", "value": [5, 3]}, "value": [1, 0]}
    size = {"condition": {"test": "datum.k === 1", "value": 90}, "value": 35}
    points: dict[str, Any] = {"y": y, "size": size, "tooltip": tooltip}
    shown = "datum.kind === 'majority'"
    if any(row["kind"] == "weighted" for row in rows):
        dashed["condition"] = [dashed["condition"], {"test": "datum.kind === 'weighted'", "value": [1.5, 2]}]
        points["shape"] = {"condition": {"test": "datum.kind === 'weighted'", "value": "diamond"}, "value": "circle"}
        shown = "datum.kind !== 'cut'"
    specification: dict[str, Any] = {
        "$schema": SCHEMA,
        "title": {"text": "Accuracy at a budget of output tokens", "subtitle": report.benchmark, "anchor": "start"},
        "width": 560,
        "height": 340,
        "data": {"values": rows},
        "encoding": {"x": x, "color": colour, "detail": kind},
        "layer": [
            {
                "mark": {"type": "area", "opacity": 0.12},
                "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
            },
            {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"y": y, "strokeDash": dashed}},
            {
                "transform": [{"filter": shown}],
                "mark": {"type": "point", "filled": True, "opacity": 1},
                "encoding": points,
            },
        ],
        "config": {"view": {"stroke": None}, "axis": {"gridColor": "#E7EAEE"}},
    }
    return json.dumps(specification, indent=1, ensure_ascii=False) + "\n"
