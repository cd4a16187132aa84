"""Signs around numbers: currencies and percent at either end, and minus signs that do not stand in front."""

from typing import Literal, get_args

import polars as pl

Sign = Literal[
    "", "$", "€", "£", "¥", "₹", "%",
    "₽", "₩", "₺", "₪", "₫", "฿", "₴", "₦", "US$", "R$", "kr", "zł", "Kč", "Rs",
    "EUR", "USD", "GBP", "JPY", "CNY", "INR", "CHF", "CAD", "AUD", "NZD", "SEK", "NOK", "DKK", "ISK", "PLN", "CZK",
    "HUF", "RON", "BGN", "TRY", "RUB", "UAH", "ILS", "AED", "SAR", "EGP", "ZAR", "NGN", "KES", "BRL", "MXN", "ARS",
    "CLP", "COP", "PEN", "HKD", "TWD", "SGD", "KRW", "THB", "VND", "IDR", "MYR", "PHP", "PKR", "BDT",
]  # fmt: skip
"""What a column of numbers may share: a currency's sign, short name or code of ISO 4217, or the percent sign."""

Minus = Literal["", "after", "brackets"]
"""Where the minus sign of a column stands if not in front: ``12.50-``, ``(12.50)``."""

MINUS = "\u2212"
"""The minus sign of typographers, as word processors and web pages have it."""

_longest_first = sorted(get_args(Sign)[1:], key=lambda sign: -len(sign))
SIGN = f"(?:{'|'.join(sign.replace('$', '[$]') for sign in _longest_first)})"
"""Pattern of a sign."""

CODE = f"(?:{'|'.join(filter(str.isalpha, _longest_first))})"
"""Pattern of a sign that is letters alone, which before a number may be a name: ``PEN 3``."""

NUMBER = r"[0-9.,][0-9.,' \u00a0\u202f\u2009\u2019]*(?:[eE][+-]?[0-9]+)?"
LIKE_NUMBERS = rf"^([+-]?)(?:({SIGN})\s*)?([+-]?{NUMBER})\s*({SIGN})?$"
_ONE_SIGN = rf"^([+-]?)(?:{SIGN}\s*)?([+-]?{NUMBER})$|^([+-]?{NUMBER})\s*{SIGN}$"
_UP_TO_A_DIGIT = r"[.,]?[0-9](?:[0-9.,' \u00a0\u202f\u2009\u2019]*[0-9])?(?:[eE][+-]?[0-9]+)?"  # 1,200.- is a price
_AFTER = rf"^((?:{SIGN}\s*)?{_UP_TO_A_DIGIT})-(\s*{SIGN})?$"
_BRACKETS = rf"^({SIGN}\s*)?\(((?:{SIGN}\s*)?{NUMBER}(?:\s*{SIGN})?)\)(\s*{SIGN})?$"
_PATTERNS: dict[Minus, tuple[str, str]] = {"after": (_AFTER, "-${1}${2}"), "brackets": (_BRACKETS, "-${1}${2}${3}")}
_MARKED = r"[0-9][.,][0-9]"
_MARKED_AT_ALL = r"[0-9][^0-9][0-9]"


def without_sign(cells: pl.Series) -> pl.Series:
    """Cells of numbers without the currency or percent sign at one end, if there is one.

    >>> without_sign(pl.Series(["$12", "12,50 EUR", "-7%", "$3 CAD", "red"])).to_list()
    ['12', '12,50', '-7', '$3 CAD', 'red']
    """
    return cells.str.replace(_ONE_SIGN, "${1}${2}${3}").str.strip_chars()


def sign_of(cells: pl.Series, *, amounts: bool = False) -> Sign:
    """The one currency or percent sign that numbers of a column share; empty where there is doubt.

    A percent sign counts where all cells have it. Letters before whole numbers alone may be a name (``PEN 3``): there
    some number needs a mark of decimals or thousands, unless the cells are known to be ``amounts``.

    >>> sign_of(pl.Series(["USD 1,200", "USD 3"])), sign_of(pl.Series(["5 kr", "7"])), sign_of(pl.Series(["5%", "7%"]))
    ('USD', 'kr', '%')
    >>> [sign_of(pl.Series(own)) for own in (["PEN 1", "PEN 2"], ["$3 CAD", "$3 USD"], ["5%", "7"])]
    ['', '', '']
    """
    present = cells.drop_nulls()
    with_sign = present.str.contains(SIGN)
    if not with_sign.any():
        return ""
    parts = present.filter(with_sign).str.extract_groups(LIKE_NUMBERS).struct.unnest()
    before, number = parts["2"], parts["3"]
    found = pl.concat([before, parts["4"].alias("2")]).drop_nulls().unique().to_list()
    if len(found) != 1 or (found == ["%"] and not with_sign.all()):
        return ""
    sign: Sign = found[0]
    named = number.filter(before.is_not_null())
    in_doubt = sign.isalpha() and len(named) > 0 and not named.str.contains(_MARKED_AT_ALL).any()
    return "" if in_doubt and not amounts else sign


def with_plain_minus(cells: pl.Series) -> pl.Series:
    """Cells with a hyphen for the minus sign of typographers."""
    return cells.str.replace(f"^{MINUS}", "-")


def minus_of(cells: pl.Series) -> Minus:
    """Where the minus signs of a column stand beyond doubt; empty in front, or where there is doubt.

    ``18-`` and ``(2)`` alone may be open ends, grades or footnotes: some such cell needs a mark of decimals or
    thousands, other cells must be without, and none may have a hyphen elsewhere. ``1,200.-`` is a price without cents.

    >>> minus_of(pl.Series(["12.50-", "7.25", None])), minus_of(pl.Series(["(1,200)", "300"]))
    ('after', 'brackets')
    >>> minus_of(pl.Series(["2-", "3"])), minus_of(pl.Series(["12.50-", "-7.25"]))
    ('', '')
    """
    if not cells.str.contains(r"-(?:\s|\D)*$|\)").any():
        return ""
    for minus, (pattern, _) in _PATTERNS.items():
        odd = cells.str.contains(pattern).fill_null(value=False)
        others = cells.filter(~odd).drop_nulls()
        if not cells.filter(odd).str.contains(_MARKED).any() or others.is_empty():
            continue
        if not others.str.contains(f"[-{MINUS}]").any():
            return minus
    return ""


def with_minus_before(cells: pl.Series, minus: Minus) -> pl.Series:
    """Cells of numbers with the minus sign in front that stands elsewhere.

    >>> with_minus_before(pl.Series(["12.50-", "7.25"]), "after").to_list()
    ['-12.50', '7.25']
    """
    return cells if not minus else cells.str.replace(*_PATTERNS[minus])


def has_minus(cells: pl.Series, minus: Minus) -> pl.Series:
    """Which cells have their minus sign there, which is not in front."""
    return cells.str.contains(_PATTERNS[minus][0]).fill_null(value=False)
