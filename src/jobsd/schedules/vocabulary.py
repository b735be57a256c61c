"""The words of the schedule language, all in lower case, and their meanings."""

_words = str.split

_WEEKDAYS = _words("sunday monday tuesday wednesday thursday friday saturday")
MONTH_NAMES = _words(
    "january february march april may june july august september october november december"
)
_BELOW_TWENTY = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen"
    " fourteen fifteen sixteen seventeen eighteen nineteen"
)
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50}
_ORDINALS = _words(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
    " thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
)

WEEKDAYS: dict[str, int] = {
    name[:length]: number for number, name in enumerate(_WEEKDAYS) for length in (3, len(name))
} | {"tues": 2, "weds": 3, "thur": 4, "thurs": 4}
WEEKDAYS_IN_PHRASES = WEEKDAYS | {
    name + "s": number for name, number in WEEKDAYS.items() if not name.endswith("s")
}

MONTHS: dict[str, int] = {
    name[:length]: number
    for number, name in enumerate(MONTH_NAMES, start=1)
    for length in (3, len(name))
} | {"sept": 9}

UNITS: dict[str, str] = {
    spelling: unit
    for unit, spellings in {
        "second": "second seconds sec secs s",
        "minute": "minute minutes min mins m",
        "hour": "hour hours hr hrs h",
        "day": "day days d",
        "week": "week weeks wk wks w",
        "month": "month months",
        "year": "year years yr yrs y",
    }.items()
    for spelling in spellings.split()
}

POINTS: dict[str, str] = {
    word: unit
    for word, unit in UNITS.items()
    if unit in {"second", "minute", "hour"} and len(word) > 1
} | {"hou": "hour", "h": "hour"}

NUMBERS: dict[str, int] = {
    **{word: number for number, word in enumerate(_BELOW_TWENTY)},
    **_TENS,
    **{
        f"{tens}-{word}": value + number
        for tens, value in _TENS.items()
        for number, word in enumerate(_BELOW_TWENTY[:10])
        if number
    },
}

ORDINALS: dict[str, int] = {
    **{word: number for number, word in enumerate(_ORDINALS, start=1)},
    "twentieth": 20,
    "thirtieth": 30,
    **{f"twenty-{word}": 20 + number for number, word in enumerate(_ORDINALS[:9], start=1)},
    "thirty-first": 31,
}

HOURS: dict[str, int] = {
    **{word: number for word, number in NUMBERS.items() if number <= 24},
    "oh": 0,
    "midnight": 0,
    "noon": 12,
    "midday": 12,
}
MINUTES: dict[str, int] = NUMBERS | {"o'clock": 0, "oclock": 0, "hundred": 0}
HALVES_OF_THE_DAY = frozenset({"am", "pm", "noon", "midday", "midnight"})

# A schedule in one word, as the unit of its cadence.
CADENCES: dict[str, str] = {
    f"{unit}ly": unit for unit in _words("second minute hour week month year")
} | {"daily": "day", "nightly": "day", "annually": "year"}

TO = frozenset({"to", "through", "thru", "until", "till"})
AND = frozenset({"and", "or"})

_GRAMMAR_WORDS = _words(
    "every each from between at on in of the starting beginning weekday weekdays weekend"
    " weekends last other quarter half dark a an"
)
_TABLES = (
    WEEKDAYS_IN_PHRASES,
    MONTHS,
    UNITS,
    POINTS,
    NUMBERS,
    ORDINALS,
    HOURS,
    MINUTES,
    CADENCES,
)
KNOWN = frozenset(_GRAMMAR_WORDS).union(HALVES_OF_THE_DAY, TO, AND, *_TABLES)
# Before these the original needs no space: "noonand five", "ten fifteenpm".
GLUED = _words("and or to from starting am pm noon midday midnight dark")
