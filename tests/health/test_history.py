"""The history: rows keep their place when the clock is set, and unknown values are null."""

from __future__ import annotations

import json
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from appliance.health.history import COLUMNS, SLOTS, STEP_S, History, Span, as_json

NOW_S = 1_800_000_000.0
NOW = int(NOW_S // STEP_S)
NAMES = [column.name for column in COLUMNS]
UNKNOWN: list[float | None] = [None] * len(COLUMNS)


def row(**values: float | None) -> list[float | None]:
    return [values.get(name) for name in NAMES]


def column(history: History, span: Span, name: str, now_s: float = NOW_S) -> list[float | None]:
    values = as_json(history.excerpt(span, now_s))["columns"][name]
    assert isinstance(values, list)
    return values


def test_an_hour_has_ten_second_entries_and_ends_with_the_last_complete_one() -> None:
    history = History()
    history.put(NOW - 1, row(soc_temp_c=61.26))
    history.put(NOW - 360, row(soc_temp_c=50.0))
    history.put(NOW - 361, row(soc_temp_c=40.0))
    history.put(NOW, row(soc_temp_c=99.0))
    answer = as_json(history.excerpt("hour", NOW_S + 5))
    assert (answer["schema"], answer["span"], answer["step_s"]) == (1, "hour", 10)
    assert answer["start"] == NOW_S - 3600
    assert answer["columns"]["soc_temp_c"] == [50.0, *[None] * 358, 61.3]
    assert list(answer["columns"]) == NAMES


def test_a_day_has_one_minute_entries_with_means_and_extremes() -> None:
    history = History()
    minute = NOW // 6 * 6 - 6
    history.put(minute, row(soc_temp_c=60, cooling_state=1, memory_available_bytes=5e9, latency_p95_ms=80, status=0))
    history.put(
        minute + 1, row(soc_temp_c=63, cooling_state=3, memory_available_bytes=4e9, latency_p95_ms=90, status=2)
    )
    history.put(minute + 2, UNKNOWN)
    answer = as_json(history.excerpt("day", NOW_S))
    assert (answer["step_s"], len(answer["columns"]["status"])) == (60, 1440)
    assert (NOW_S - answer["start"]) // 86_400 == 1
    last = {name: values[-1] for name, values in answer["columns"].items()}
    assert last == {
        "soc_temp_c": 61.5, "cooling_state": 3, "cpu_percent": None, "memory_available_bytes": 4_000_000_000,
        "answered_fps": None, "refused_fps": None, "latency_p50_ms": None, "latency_p95_ms": 90.0, "cameras": None,
        "status": 2,
    }  # fmt: skip
    assert isinstance(last["cooling_state"], int)
    json.dumps(answer, allow_nan=False)


def test_an_empty_history_is_all_null() -> None:
    for span in get_args(Span):
        columns = as_json(History().excerpt(span, NOW_S))["columns"]
        assert {value for values in columns.values() for value in values} == {None}
    assert as_json(History().excerpt("hour", 0.0))["columns"]["status"] == [None] * 360


def test_rows_older_than_a_day_are_overwritten() -> None:
    history = History()
    for step in range(NOW - SLOTS - 100, NOW):
        history.put(step, row(cameras=step % 50))
    assert column(history, "day", "cameras")[0] is not None
    assert len([value for value in column(history, "hour", "cameras") if value is not None]) == 360
    assert column(history, "hour", "cameras", NOW_S - 86_400)[-1] is None


def test_its_size_is_fixed() -> None:
    history = History()
    assert history._rows.nbytes + history._ours.nbytes + history._unsaved.nbytes < 450_000
    history.put(NOW, row(cameras=1))
    assert history._rows.shape == (SLOTS,)


def test_rows_of_this_run_move_when_the_clock_is_set_from_1970_to_now() -> None:
    history = History()
    for step in range(1, 31):
        history.put(step, row(cpu_percent=step))
    history.shift(NOW - 31)
    assert column(history, "hour", "cpu_percent")[-30:] == [float(n) for n in range(1, 31)]
    assert column(history, "hour", "cpu_percent", 400.0) == [None] * 360


def test_rows_move_when_the_clock_is_set_back_and_none_stay_in_the_future() -> None:
    history = History()
    history.put(NOW - 1, row(cpu_percent=7))
    history.shift(-100)
    assert column(history, "hour", "cpu_percent")[-101] == 7.0
    assert [value for value in column(history, "hour", "cpu_percent", NOW_S + 1000) if value is not None] == [7.0]
    history.shift(-(10**9))  # before 1970: the rows are dropped
    assert column(history, "day", "cpu_percent") == [None] * 1440
    history.put(NOW, row(cpu_percent=1))


def test_rows_of_an_earlier_run_keep_their_dates() -> None:
    earlier = History()
    earlier.put(NOW - 200, row(cpu_percent=1))
    history = History(earlier._rows.copy())
    history.put(NOW - 190, row(cpu_percent=2))
    history.shift(90)
    values = column(history, "hour", "cpu_percent")
    assert (values[-200], values[-190], values[-100]) == (1.0, None, 2.0)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(-(10**8), 10**10)), max_size=12))
def test_setting_the_clock_neither_loses_nor_duplicates_recent_rows(jumps: list[tuple[int, int]]) -> None:
    history, step, put = History(), NOW, 0
    for rows, jump in jumps:
        for _ in range(rows):
            step, put = step + 1, put + 1
            history.put(step, row(cameras=put % 1000))
        new = min(max(step + jump, SLOTS), 2**32 - 10_000)
        history.shift(new - step)
        step = new
    known = [value for value in column(history, "hour", "cameras", (step + 1) * STEP_S) if value is not None]
    assert known == [number % 1000 for number in range(max(1, put - 359), put + 1)]


def test_only_new_rows_are_saved_and_failed_ones_are_saved_again() -> None:
    history = History()
    for step in (NOW, NOW + 1):
        history.put(step, row(cameras=1))
    slots, rows = history.take_unsaved(100)
    assert sorted(rows["step"].tolist()) == [NOW, NOW + 1]
    assert [step % SLOTS for step in rows["step"].tolist()] == slots.tolist()
    assert len(history.take_unsaved(100)[0]) == 0
    history.give_back(slots)
    assert history.take_unsaved(100)[1].tobytes() == rows.tobytes()


def test_a_large_shift_is_saved_in_several_parts() -> None:
    history = History()
    for step in range(1000):
        history.put(NOW + step, row(cameras=1))
    history.take_unsaved(SLOTS)
    history.shift(3000)
    taken = [len(history.take_unsaved(600)[0]) for _ in range(5)]
    assert taken == [600, 600, 600, 200, 0]
