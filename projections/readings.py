"""A claim under other readings: one at a time, or every combination that can matter.

The decision is made on one dossier; availabilities are measured once for all combinations that measure alike. Readings
that cannot touch the claim are left out, each with the reason that proves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from ledger.errors import BadTerms
from ledger.readings import Readings, values
from ledger.terms import Version
from ledger.text import canonical_json
from projections.availability import Availability
from projections.credits import Assessment, Dossier, assessed, dossier, measured
from projections.figures import money_json, truncated
from projections.judgement import Judgement
from projections.spans import clip, total

CASES_ONLY = (
    "business_hours",
    "zones",
    "holidays",
    "hour_targets",
    "day_targets",
    "responder",
    "reclassification",
    "order_within",
    "round_the_clock",
    "best_effort",
    "off_hours_phone",
    "terms_change",
    "instantly",
)
MEASURING = (  # what changes the availability; the others change only what follows from it
    "before_agreement",
    "unplanned",
    "emergency",
    "short_notice",
    "overlap",
    "beyond_control",
    "excluded_time",
    "degraded",
    "uncovered_monitoring",
    "evidence",
    "reused_downtime",
    "immediately",
)
OPEN_ENDED = ("cap_percent", "best_effort", "instantly", "immediately")
MAX_COMBINATIONS = 2_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """A claim under some readings."""

    readings: dict[str, Any]
    assessment: Assessment

    @property
    def payout(self) -> tuple[str, Any]:
        """What is decided: the verdict and the credit."""
        r = self.assessment.rules.readings
        credit = self.assessment.worth.credit(r.lost_from, r.lost_steps)
        return ("granted" if self.assessment.is_granted else "refused", credit)

    def figures(self) -> tuple[Any, ...]:
        """What is computed on the way: availability, lost percent, steps, fee."""
        a, r = self.assessment, self.assessment.rules.readings
        return (a.availability.parts(), a.worth.lost(r.lost_from), a.worth.steps(r.lost_from, r.lost_steps), a.fee)

    def as_json(self) -> dict[str, Any]:
        """Return the outcome in its fixed shape."""
        a, r = self.assessment, self.assessment.rules.readings
        value, steps = a.availability.value, a.worth.steps(r.lost_from, r.lost_steps)
        return {
            "readings": self.readings,
            "verdict": self.payout[0],
            "availability_percent": None if value is None else truncated(value * 100, 4),
            "steps": truncated(steps, 4) if r.lost_steps == "exact" else int(steps),
            "credit": money_json(self.payout[1]),
        }


@dataclass(slots=True)
class Alternatives:
    """The default outcome, the others, and the readings that were left out with the reason."""

    default: Outcome
    others: list[Outcome]
    left_out: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return everything in its fixed shape."""
        alternatives = []
        for other in self.others:
            row = other.as_json()
            row["moves_the_money"] = other.payout != self.default.payout
            row["moves_the_figures"] = other.figures() != self.default.figures()
            alternatives.append(row)
        everyone = [self.default, *self.others]
        lowest, highest = min(everyone, key=_amount), max(everyone, key=_amount)
        missing, money = self.default.assessment.missing, _movers(everyone, lambda o: o.payout)
        return {
            "default": self.default.as_json() | {"all_readings": self.default.assessment.rules.readings.as_json()},
            "alternatives": alternatives,
            "lowest": lowest.as_json(),
            "highest": highest.as_json(),
            "move_the_money": money,
            "move_only_the_figures": [k for k in _movers(everyone, Outcome.figures) if k not in money],
            "left_out": [{"reading": k, "reason": reason} for k, reason in self.left_out.items()],
            "provisional": bool(missing),
            "missing": missing,
        }


def _amount(outcome: Outcome) -> Any:
    credit = outcome.payout[1]
    return -1 if credit is None else credit.amount


def _movers(outcomes: list[Outcome], result: Callable[[Outcome], Any]) -> list[str]:
    """Return the readings that move a result: two outcomes that differ in nothing else come to different ones."""
    keys = dict.fromkeys(k for o in outcomes for k in o.readings)
    found = []
    for key in keys:
        seen: dict[str, Any] = {}
        for outcome in outcomes:
            rest = canonical_json({k: v for k, v in outcome.readings.items() if k != key})
            if seen.setdefault(rest, result(outcome)) != result(outcome):
                found.append(key)
                break
    return found


def one_at_a_time(judgement: Judgement, stream: str, tries: dict[str, list[Any]] | None = None) -> Alternatives:
    """Return the decision under every other value of each reading, one at a time.

    tries: values of readings that are numbers, durations or lists; without them those keep their default.
    """
    gathered, rules, default = _default(judgement, stream, tries or {})
    measure = _measuring(gathered)
    others = [
        _outcome(gathered, rules, {key: value}, measure)
        for key, choices in _choices(rules.readings, tries or {}).items()
        for value in choices
    ]
    return Alternatives(default, others)


def combinations(
    judgement: Judgement,
    stream: str,
    tries: dict[str, list[Any]] | None = None,
    done: Callable[[int, int], None] | None = None,
) -> Alternatives:
    """Return the decision under every combination of readings that can matter to the claim.

    done: told how many of how many combinations are through. Raises BadTerms when there are too many.
    """
    gathered, rules, default = _default(judgement, stream, tries or {})
    left_out = untouched(gathered, rules)
    choices = {k: v for k, v in _choices(rules.readings, tries or {}).items() if k not in left_out}
    count = 1
    for alternatives in choices.values():
        count *= len(alternatives) + 1
    if count > MAX_COMBINATIONS:
        what = f"{count} combinations of readings are too many"
        raise BadTerms(stream, what, "look at them one at a time: leave out --all")
    measure, others = _measuring(gathered), []
    for number, chosen in enumerate(_combined(choices), 1):
        if chosen:
            others.append(_outcome(gathered, rules, chosen, measure))
        if done and number % 500 == 0:
            done(number, count)
    return Alternatives(default, others, left_out)


def untouched(gathered: Dossier, rules: Version) -> dict[str, str]:
    """Return the readings that cannot touch a claim, each with the reason that proves it."""
    state, downtime = gathered.state, gathered.downtime
    customer, service = state.request.customer, state.request.service
    widest = replace(rules, readings=rules.readings.but({"degraded": "unavailable", "evidence": "any_source"}))
    judged = [
        o for o in downtime.of(customer, service, widest) if clip(list(o.frame.spans), gathered.begin, gathered.end)
    ]
    causes = {o.state.attribution.cause for o in judged if o.state.attribution}
    windows = [w for w in downtime.windows.values() if service in w.plan.services and not w.cancelled]
    met = [w for w in windows if any(clip(list(o.frame.spans), *w.window) for o in judged)]
    found = dict.fromkeys(CASES_ONLY, "it concerns cases, not claims")
    if not any(o.state.report.degree == "degraded" for o in judged):
        found["degraded"] = "no outage of the period was degraded"
    if all(o.state.determined for o in judged):
        found["evidence"] = "every frame of the period is determined"
    for key, cause in (
        ("emergency", "emergency"),
        ("beyond_control", "beyond_control"),
        ("short_notice", "planned_maintenance"),
    ):
        if cause not in causes:
            found[key] = f"no outage of the period is attributed to {cause.replace('_', ' ')}"
    if not met:
        found["overlap"] = "no outage of the period meets a maintenance window"
    if "unplanned_maintenance" not in causes and not any(w.plan.category == "unplanned" for w in met):
        found["unplanned"] = found["immediately"] = "no outage of the period meets unplanned maintenance"
    if not causes - {"failure"} and not met:
        found["excluded_time"] = "nothing can be excluded"
    if not any(clip([_gap(x)], gathered.begin, gathered.end) for x in downtime.gaps.get(service, ())):
        found["uncovered_monitoring"] = "the period was watched throughout"
    if not gathered.used:
        found["reused_downtime"] = "no other granted claim used downtime"
    return found | _untouched_by_agreement(gathered)


def _untouched_by_agreement(gathered: Dossier) -> dict[str, str]:
    found, request = {}, gathered.state.request
    agreement = gathered.judgement.agreements.get(request.customer)
    fees = agreement.fees(request.service) if agreement else []
    spans = [clip([span], gathered.begin, gathered.end) for span, _ in fees]
    if not fees or fees[0][0][0] <= gathered.begin:
        found["before_agreement"] = "the agreement did not begin within the period"
    if len({str(fee) for (_, fee), clipped in zip(fees, spans, strict=True) if clipped}) <= 1 and any(spans):
        length = (gathered.end - gathered.begin).total_seconds()
        if sum(total(s) for s in spans) == length:
            found["fee"] = "one fee held throughout the period"
    if (request.from_.month, request.from_.day) == (1, 1):
        found["period"] = "the claim is over a calendar year"
    return found


def _gap(entry: Any) -> Any:
    return entry.event.from_, entry.event.until


def _choices(readings: Readings, tries: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return for each reading the values to try besides the one taken."""
    taken = readings.as_json()
    found = {
        key: tries[key] if key in tries else [] if key in OPEN_ENDED else values(key) for key in Readings.model_fields
    }
    return {k: [v for v in choices if v != taken[k]] for k, choices in found.items() if choices}


def _combined(choices: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Yield every combination; what keeps its default is left out of it."""
    absent = object()
    for picked in product(*([absent, *alternatives] for alternatives in choices.values())):
        yield {k: v for k, v in zip(choices, picked, strict=True) if v is not absent}


def _default(judgement: Judgement, stream: str, tries: dict[str, list[Any]]) -> tuple[Dossier, Version, Outcome]:
    gathered = dossier(judgement, stream)
    rules = gathered.rules
    for key, choices in tries.items():
        for value in choices:
            rules.readings.but({key: value})  # refused by name when there is no such reading or value
    return gathered, rules, Outcome({}, assessed(gathered, measured(gathered, rules)))


def _measuring(gathered: Dossier) -> Callable[[Version], Availability]:
    """Return a function that measures an availability once for all readings that measure alike."""
    known: dict[tuple[Any, ...], Availability] = {}

    def measure(rules: Version) -> Availability:
        key = tuple(getattr(rules.readings, k) for k in MEASURING)
        if key not in known:
            known[key] = measured(gathered, rules)
        return known[key]

    return measure


def _outcome(
    gathered: Dossier, rules: Version, changes: dict[str, Any], measure: Callable[[Version], Availability]
) -> Outcome:
    changed = replace(rules, readings=rules.readings.but(changes))
    return Outcome(changes, assessed(gathered, measure(changed), changed))
