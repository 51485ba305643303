"""Figures as they are printed: cut off, never rounded, except money, which is rounded once and half up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

    from ledger.values import Money


def truncated(value: Fraction, decimals: int) -> str:
    """Return a fraction as a decimal text, cut off after so many decimals: 98.99996 with four is 98.9999."""
    scaled = int(abs(value) * 10**decimals)
    sign = "-" if value < 0 and scaled else ""
    whole, rest = divmod(scaled, 10**decimals)
    return f"{sign}{whole}.{rest:0{decimals}d}"


def percent_of(part: int, whole: int, decimals: int) -> str:
    """Return what percentage of a whole a part is, neither below zero, cut off after so many decimals."""
    found, rest = divmod(part * 100 * 10**decimals // whole, 10**decimals)
    return f"{found}.{rest:0{decimals}d}"


def ratio(numerator: int, denominator: int) -> dict[str, int | str] | None:
    """Return an availability as an unreduced fraction and a percentage cut to four decimals; None of nothing."""
    if denominator <= 0:
        return None
    from fractions import Fraction

    percent = truncated(Fraction(numerator * 100, denominator), 4)
    return {"numerator": numerator, "denominator": denominator, "percent": percent}


def rounded(amount: Fraction, currency: str) -> Money:
    """Return an exact amount as money, rounded half up to the currency's minor unit."""
    from decimal import ROUND_HALF_UP, Decimal

    from ledger.values import Money, minor_digits

    digits = minor_digits(currency)
    scaled = (amount * 10**digits * 2 + 1) // 2
    return Money(
        amount=Decimal(scaled).scaleb(-digits).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP), currency=currency
    )


def money_json(money: Money | None) -> dict[str, str] | None:
    """Return money in its fixed shape."""
    return None if money is None else {"amount": str(money.amount), "currency": money.currency}
