"""Whether lanes run compiled code: tried and measured where the budget is a time, and long enough for a compiler."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing import current_process
from multiprocessing.connection import wait
from subprocess import TimeoutExpired
from typing import BinaryIO, Final, NoReturn

from torch import nn

from lanewise.errors import Interrupted, first_sentence
from lanewise.lanes.candidate import Candidate
from lanewise.training.apart_team import workers_of
from lanewise.training.modules.choosing import CONVOLUTIONS, ONE_BY_ONE, SEVERAL, compiled_differs
from lanewise.training.modules.seats import may_fork
from lanewise.training.modules.teams import ModuleTeams, Way, all_of, batch_of
from lanewise.training.workers.forked_child import ForkedChild, can_fork
from lanewise.training.workers.side_by_side import threads_per_product
from lanewise.tuning.faster_ways import SHARE, per_lane

LEAST = 90.0
"""Seconds that all may take, below which nothing is tried: small networks take 20 to 75 s, more where it is the first
code that is compiled on a machine, for which g++ reads torch's headers."""

MEASURING = 0.1
"""Of those seconds: what timing may take before, and again after."""

WORTH = 1.1
"""By how many times compiled steps must be faster: what compiling took is spent by then, and so is the noise of it."""

MOST = 4.0
"""By how many times compiled code may be faster than the same module: 3.3 times was the most that we have seen."""

POLLED, GRACE = 0.1, 2.0
"""Seconds after which it is asked again whether to stop; that compilers have to remove what they have half written."""

DONE: Final = "done"


def compiled_where_faster(
    teams: ModuleTeams, candidates: Sequence[Candidate], *, seconds: float
) -> tuple[ModuleTeams, tuple[str, ...]]:
    """The teams with compiled code wherever it is faster, and what the plan has to say where it is not.

    It is tried for lanes that train one by one, whose code is for any number of them. All forms and batch sizes of the
    ``candidates`` together may take a twentieth of the budget of so many ``seconds``: a process of its own compiles, is
    ended when that is over, and leaves what it made to torch's cache on the disk, from which this one has it. What it
    gives must be what the module gives, in values and gradients. Not on GPUs, where steps are recorded; not where
    lanes train in threads.
    """
    together = teams.ranks == 1 and teams.axis is None and teams.device.type == "cpu"
    forks = can_fork() and not current_process().daemon and (may_fork(teams) or teams.workers_here == 1)
    if not together or not forks:
        return teams, ()
    asked: dict[tuple[int, int], list[Candidate]] = {}
    for own in filter(partial(_may_gain, teams), candidates):
        asked.setdefault((id(teams.of(own)), batch_of(own)), []).append(own)
    limit = SHARE * seconds / max(1, len(asked))
    if not asked or limit < LEAST:
        return teams, ()
    words, found = dict[str, None](), dict[tuple[int, int], Way]()
    for kind, alike in asked.items():
        found[kind], said = _faster_way(teams.of(alike[0]), alike, seconds=limit)
        words |= dict.fromkeys(filter(None, [said]))

    def over(own: ModuleTeams) -> ModuleTeams:
        return replace(own, ways={batch: found.get((id(own), batch), way) for batch, way in own.ways.items()})

    others = {form: over(own) for form, own in teams.others.items()}
    return replace(over(teams), others=others), tuple(words)


def compiled_again(teams: ModuleTeams) -> ModuleTeams:
    """The teams with all compiled that their ways want so; without compiled code where it cannot be had, as notes say.

    For who goes on with a plan, repeats one, or forks: so nobody compiles while others train.
    """
    for own in all_of(teams):
        for batch, way in own.ways.items():
            why = _refused(own, batch, way) if way.compiled else ""
            if why:
                teams.notes.append(
                    f"the race was planned with compiled code, which is not to be had here ({why}): its lanes are "
                    "trained without it, to other last bits"
                )
                others = {form: _as_it_is(part) for form, part in teams.others.items()}
                return replace(_as_it_is(teams), others=others)
    return teams


def _as_it_is(teams: ModuleTeams) -> ModuleTeams:
    return replace(teams, ways={batch: replace(way, compiled=False) for batch, way in teams.ways.items()})


def _may_gain(teams: ModuleTeams, candidate: Candidate) -> bool:
    """Whether lanes of the candidate have batches of their own, and do not train mostly in torch's own kernels.

    Compiled code calls those of recurrent layers and convolutions as well; one convolution may lead into something
    else.
    """
    own = teams.of(candidate)
    way = own.ways[batch_of(candidate)]
    shares = way.looped and way.width > 1  # what is read
    if shares or workers_of(candidate) > 1 or own.blueprint.recomputes:
        return False
    parts = list(own.blueprint.template.modules())
    recurs = any(isinstance(part, nn.RNNBase) for part in parts)
    return not recurs and sum(isinstance(part, CONVOLUTIONS) for part in parts) < SEVERAL


def _faster_way(teams: ModuleTeams, candidates: Sequence[Candidate], *, seconds: float) -> tuple[Way, str]:
    """How lanes of the ``candidates``, which could share a stack, are run: compiled or not, and in words why not."""
    batch = batch_of(candidates[0])
    way = teams.ways[batch]
    alone = way if way.looped else replace(way, looped=True, width=1, words=ONE_BY_ONE)
    compiled = replace(alone, compiled=True)
    with threads_per_product(1):
        timed = partial(per_lane, teams, candidates=candidates, seconds=MEASURING * seconds)
        before = timed(ways=(way, alone))
        if not before or before[1] > MOST * before[0]:
            return way, ""
        started = time.monotonic()
        why = _compiled_apart(teams, batch, compiled, seconds=(1 - 2 * MEASURING) * seconds)
        why = why or _refused(teams, batch, compiled)
        took = time.monotonic() - started
        both = [] if why else timed(ways=(way, compiled))
    if not both:
        return way, f"torch.compile was tried for {took:.0f} s: {why or 'no time was left to measure it'}"
    gain = both[0] / both[1]
    said = f"compiled code was measured to be {gain:.2f} times as fast, compiling took {took:.0f} s"
    if gain < WORTH:
        return way, f"lanes are not compiled: {said}"
    return replace(compiled, words=f"{compiled.words}; {said}"), ""


def _refused(teams: ModuleTeams, batch: int, way: Way) -> str:
    """Why a lane cannot run compiled code; empty where it can, and then it is there for all calls to come."""
    try:
        with threads_per_product(1):
            differs = compiled_differs(teams, batch, way)
    except Interrupted:
        raise
    except Exception as error:  # whatever the compilers say to the user's code
        cause = getattr(error, "inner_exception", error)
        return f"{type(cause).__name__}: {first_sentence(cause)}"
    return differs and f"{differs} from those of the module as it is"


def _compiled_apart(teams: ModuleTeams, batch: int, way: Way, *, seconds: float) -> str:
    """Compile in a process of its own, for its cache; in words why not, empty where it did.

    Compilers ask nobody whether to go on: that process can be ended.
    """
    try:
        child = ForkedChild(partial(_compile, partial(_refused, teams, batch, way)))
    except OSError as error:
        return f"no process could be started for it ({first_sentence(error)})"
    assert child.stdout is not None
    try:
        deadline = time.monotonic() + seconds
        while not wait([child.stdout.fileno()], POLLED):
            if teams.stop():
                message = "stopped on request"
                raise Interrupted(message)
            if time.monotonic() > deadline:
                return f"it took longer than its share of the budget, {SHARE:.0%}"
        said = child.stdout.read().decode()
        return "" if said == DONE else said or "its process ended without a word"
    finally:
        _end(child)


def _end(child: ForkedChild) -> None:
    """End the process and the compilers that it started.

    A compiler that is killed leaves half a file, which torch would take for a whole one ever after.
    """
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(GRACE)
    except TimeoutExpired:
        child.kill()
        child.wait()
    for stream in (child.stdin, child.stdout):
        assert stream is not None
        stream.close()


def _compile(refused: Callable[[], str], requests: BinaryIO, answers: BinaryIO) -> NoReturn:
    """What that process does, in a group of its own with the compilers that it starts; it ends with its parent."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def end_with_parent() -> None:
        requests.read()
        os.killpg(0, signal.SIGTERM)

    threading.Thread(target=end_with_parent, daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # torch tells the log what it cannot compile
    answers.write((refused() or DONE).encode())
    answers.flush()
    os._exit(0)
