"""Threads that answer: in order, a few at a time, each place taken whatever happens to the others."""

from __future__ import annotations

import threading
from threading import Barrier, Event, Lock

from running import wait_for

from rekall.pool import Pool


def of(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_tasks_run_in_the_order_they_came() -> None:
    pool, done, held, all_done = Pool(1, "in-order"), [], Event(), Event()
    pool.run(lambda: (held.wait(30), None)[1])
    for number in range(50):
        pool.run(lambda number=number: done.append(number))
    pool.run(all_done.set)
    held.set()
    assert all_done.wait(30)
    assert done == list(range(50))


def test_as_many_run_at_a_time_as_there_are_places_and_no_more() -> None:
    pool, lock = Pool(3, "three"), Lock()
    together, most, met = 0, 0, Barrier(3)
    finished = threading.Semaphore(0)

    def task() -> None:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        met.wait(30)  # three at a time, or never
        with lock:
            together -= 1
        finished.release()

    for _number in range(30):
        pool.run(task)
    assert all(finished.acquire(timeout=30) for _number in range(30))
    assert most == 3
    assert len(of("three")) <= 3


def test_who_steps_aside_makes_room_and_takes_no_place_for_good() -> None:
    pool, waits, is_aside = Pool(1, "aside"), Event(), Event()

    def patient() -> None:
        with pool.aside():
            is_aside.set()
            waits.wait(30)

    for _turn in range(5):
        waits.clear()
        is_aside.clear()
        pool.run(patient)
        assert is_aside.wait(30)
        answered = Event()
        pool.run(answered.set)
        assert answered.wait(30)  # though the only place was taken
        waits.set()
    pool.run(lambda: (is_aside.clear(), waits.clear(), None)[2])
    wait_for(lambda: not is_aside.is_set())
    together: list[int] = []
    entered, leave = Event(), Event()
    pool.run(lambda: (together.append(1), entered.set(), leave.wait(30), None)[3])
    assert entered.wait(30)
    pool.run(lambda: together.append(2))
    assert together == [1]  # one place, as before
    leave.set()
    wait_for(lambda: together == [1, 2])


def test_idle_threads_end_and_a_later_task_is_run_all_the_same() -> None:
    pool, done = Pool(4, "short-lived", idle_seconds=0.001), threading.Semaphore(0)
    for turn in range(300):  # the moment a thread gives up and the moment it is needed fall together
        for _number in range(turn % 4):
            pool.run(done.release)
    assert all(done.acquire(timeout=30) for _number in range(sum(turn % 4 for turn in range(300))))
    wait_for(lambda: not of("short-lived"))
