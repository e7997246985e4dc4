"""Sentences of a report on how long the chip keeps its weights, what reads do to them, and what refreshing costs."""

import math
from typing import TYPE_CHECKING

from mapping.presentation.outside_text import outside
from mapping.presentation.quantities import duration, percent, rounded, si

if TYPE_CHECKING:
    from mapping.prices.refresh import Keeping
    from mapping.report.values import ReportValues


def keeping_rows(report: "ReportValues", kept: "Keeping") -> tuple[tuple[str, str], ...]:
    """Return (heading, text) of each line about retention, read disturb and refresh."""
    return tuple(
        (name, text)
        for name, text in (
            ("retention", _retention(report, kept)),
            ("read disturb", _disturb(report, kept)),
            ("refresh", _refresh(report, kept)),
        )
        if text
    )


def state_of_chip(report: "ReportValues") -> str:
    """Return in which state the chip of a report was read: when new, or after how many images and how much time."""
    if report.measured:
        return "as measured"
    before, kept = report.configuration["retention"], report.keeping
    images, parts = before["images"] + before["rate"] * before["age"], []
    if kept is not None and kept.refresh_images is not None and images >= kept.refresh_images:
        return "just before a refresh"
    if images:
        parts.append(f"{rounded(images)} images")
    if before["age"]:
        parts.append(duration(before["age"]))
    return f"after {' and '.join(parts)}" if parts else "when new"


def _retention(report: "ReportValues", kept: "Keeping") -> str:
    if math.isinf(kept.at_rest_s):
        return "cells at rest keep their weights for more than 300 years"
    text = (
        f"cells at rest keep their weights for {duration(kept.at_rest_s)}, until those that dissolve fastest "
        f"(w = {kept.at_rest_state:g}) have lost a tenth of their conductance"
    )
    age = report.configuration["retention"]["age"]
    return f"{text}; this chip is {duration(age)} old" if age else text


def _disturb(report: "ReportValues", kept: "Keeping") -> str:
    parts = []
    if kept.images_until_lost is not None:
        lost = kept.images_until_lost
        parts.append(
            "no number of images costs one point of accuracy" if math.isinf(lost)
            else f"one point of accuracy is lost after {rounded(lost)} images{_at_pace(lost, report)}"
        )  # fmt: skip
    limit = f"{percent(kept.limit, 0)} of g_max"
    if math.isinf(kept.images_to_limit):
        parts.append(f"no number of images moves the cells of a layer by {limit} on average")
    else:
        parts.append(
            f"{rounded(kept.images_to_limit)} images{_at_pace(kept.images_to_limit, report)} move the cells of "
            f"{outside(str(kept.limiting_layer))} by {limit} on average, as much as the default error of a write"
        )
    before = report.configuration["retention"]
    read = before["images"] + before["rate"] * before["age"]
    if read:
        parts.append(f"this chip has read {rounded(read)} images before")
    if before["rate"] > report.images_per_s > 0.0:
        parts.append(f"retention.rate is above the {rounded(report.images_per_s)} images/s that this chip can read")
    return "; ".join(parts)


def _at_pace(images: float, report: "ReportValues") -> str:
    return f" ({duration(images / report.images_per_s)} at full pace)" if report.images_per_s else ""


def _refresh(report: "ReportValues", kept: "Keeping") -> str:
    if kept.refresh_images is not None:
        rate = report.configuration["retention"]["rate"]
        pace = f"{rounded(rate)} images/s" if 0.0 < rate < report.images_per_s else "full pace"
        worn = f"; endurance used up after {duration(kept.worn_out_s)} at {pace}" if kept.worn_out_s is not None else ""
        moved, sooner = "", ""
        if kept.needed_images < kept.refresh_images and kept.needed_images < kept.images_to_limit:
            sooner = f"; at rest they would need it every {rounded(kept.needed_images)} images"
        if kept.refresh_layer is not None and kept.refresh_change is not None:
            moved = (
                f", when reads have moved those of {outside(kept.refresh_layer)} by "
                f"{percent(kept.refresh_change, 2)} of g_max on average"
            )
        return (
            f"all cells are written again every {rounded(kept.refresh_images)} images{moved}: "
            f"{si(kept.refresh_J_per_image, 'J')} and {si(kept.refresh_s_per_image, 's')} per image{worn}{sooner}"
        )
    if math.isinf(kept.needed_images):
        return ""
    return (
        f"none; writing all cells every {rounded(kept.needed_images)} images would take "
        f"{si(kept.needed_J_per_image, 'J')} per image and {percent(kept.needed_share_of_time, 2)} of the time"
    )
