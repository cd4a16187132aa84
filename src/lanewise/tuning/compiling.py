"""Whether lanes run compiled code: tried and measured where the budget is a time, and long enough for a compiler."""

import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import BinaryIO, Final, NoReturn

from torch import nn

from lanewise.errors import Interrupted, first_sentence
from lanewise.lanes.candidate import Candidate
from lanewise.training.apart_team import workers_of
from lanewise.training.modules.seats import may_fork
from lanewise.training.modules.teams import (
    CONVOLUTIONS,
    ModuleTeams,
    Way,
    all_of,
    batch_of,
    compiled_differs,
)
from lanewise.training.workers.forked_child import ForkedChild, can_fork
from lanewise.training.workers.side_by_side import threads_per_product
from lanewise.tuning.faster_ways import SHARE
from lanewise.tuning.planning import MEASURED_STEPS, timed

LEAST = 60.0
"""Seconds that compiling must be allowed to take, or it is not tried: twice what small networks take, 23 to 39 s."""

WORTH = 1.1
"""By how many times compiled steps must be faster: what compiling took is spent by then, and so is the noise of it."""

TURNS: Final = 3
"""In which both are timed, the fastest of each counts."""

POLLED: Final = 0.1
"""Seconds after which it is asked again whether to stop."""

DONE: Final = "done"

MOST = 4.0
"""By how many times compiled code may be faster than the same module: 3.3 times was the most that we have seen."""

NOTHING_TO_GAIN = (*CONVOLUTIONS, nn.RNNBase)
"""Layers whose time goes into kernels that compiled code calls as well: 0.84 to 1.0 times as fast, measured."""


def compiled_where_faster(
    teams: ModuleTeams, candidates: Sequence[Candidate], *, seconds: float
) -> tuple[ModuleTeams, tuple[str, ...]]:
    """The teams with compiled code wherever it is faster, and what the plan has to say of it.

    It is tried for lanes that train one by one, whose code is for any number of them. All forms and batch sizes of the
    ``candidates`` together may take a twentieth of the budget of so many ``seconds``: a process of its own compiles, is
    ended when that is over, and leaves what it made to torch's cache on the disk, from which this one has it. What it
    gives must be what the module gives, in values and gradients. Not on GPUs, where steps are recorded; not where
    lanes train in threads.
    """
    together = teams.ranks == 1 and teams.axis is None and teams.device.type == "cpu"
    if not together or not can_fork() or not (may_fork(teams) or teams.workers_here == 1):
        return teams, ()
    asked: dict[tuple[int, int], list[Candidate]] = {}
    for own in filter(partial(_may_gain, teams), candidates):
        asked.setdefault((id(teams.of(own)), batch_of(own)), []).append(own)
    limit = SHARE * seconds / max(1, len(asked))
    if not asked or limit < LEAST:
        return teams, ()
    words, found = dict[str, None](), dict[tuple[int, int], Way]()
    for kind, alike in asked.items():
        found[kind], said = _tried(teams.of(alike[0]), alike, seconds=limit)
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
    return replace(teams, ways={batch: replace(way, compiled="") for batch, way in teams.ways.items()})


def _may_gain(teams: ModuleTeams, candidate: Candidate) -> bool:
    """Whether lanes of the candidate have batches of their own, and do not train mostly in torch's own kernels."""
    own = teams.of(candidate)
    way = own.ways[batch_of(candidate)]
    shares = way.looped and way.width > 1  # what is read
    if shares or workers_of(candidate) > 1 or own.blueprint.recomputes:
        return False
    return not any(isinstance(part, NOTHING_TO_GAIN) for part in own.blueprint.template.modules())


def _tried(teams: ModuleTeams, candidates: Sequence[Candidate], *, seconds: float) -> tuple[Way, str]:
    """How lanes of the ``candidates``, which could share a stack, are run: compiled or not, and in words why not."""
    batch = batch_of(candidates[0])
    way = teams.ways[batch]
    alone = way if way.looped else replace(way, looped=True, width=1, words="lanes are trained one by one")
    compiled = replace(alone, compiled="compiled")
    with threads_per_product(1):
        usual, single = (_per_lane(teams, candidates, own) for own in (way, alone))
        if single > MOST * usual or TURNS * MEASURED_STEPS * (usual * len(candidates) + single) > seconds:
            return way, ""
        started = time.monotonic()
        why = _compiled_apart(teams, batch, compiled, seconds=seconds) or _refused(teams, batch, compiled)
        took = time.monotonic() - started
        if why:
            return way, f"torch.compile was tried for {took:.0f} s: {why}"
        both = [[_per_lane(teams, candidates, own) for own in (way, compiled)] for _ in range(TURNS)]
    as_it_is, faster = map(min, zip(*both, strict=True))
    said = f"compiled code was measured to be {as_it_is / faster:.2f} times as fast, compiling took {took:.0f} s"
    if as_it_is < WORTH * faster:
        return way, f"lanes are not compiled: {said}"
    return replace(compiled, compiled=said), ""


def _per_lane(teams: ModuleTeams, candidates: Sequence[Candidate], way: Way) -> float:
    """Seconds of a step of lanes that are run that way, for each of them."""
    batch, width = batch_of(candidates[0]), min(way.width, len(candidates))
    return timed(candidates, replace(teams, ways={batch: way}), batch, width)[0] / width


def _refused(teams: ModuleTeams, batch: int, way: Way) -> str:
    """Why a lane cannot run compiled code; empty where it can, and then it is there for all calls to come."""
    try:
        with threads_per_product(1):
            differs = compiled_differs(teams, batch, way)
    except Interrupted:
        raise
    except Exception as error:  # whatever the compilers say to the user's code
        return f"{type(error).__name__}: {first_sentence(error)}"
    return differs and f"{differs} from those of the module as it is"


def _compiled_apart(teams: ModuleTeams, batch: int, way: Way, *, seconds: float) -> str:
    """Compile in a process of its own, for its cache; in words why not, empty where it did.

    Compilers ask nobody whether to go on: that process can be ended.
    """
    child = ForkedChild(partial(_compile, partial(_refused, teams, batch, way), seconds))
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        deadline = time.monotonic() + seconds
        while not select.select([child.stdout], [], [], POLLED)[0]:
            if teams.stop():
                message = "stopped on request"
                raise Interrupted(message)
            if time.monotonic() > deadline:
                return f"it took longer than its share of the budget, {SHARE:.0%}"
        said = child.stdout.read().decode()
        return "" if said == DONE else said or "its process ended without a word"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def _compile(refused: Callable[[], str], seconds: float, requests: BinaryIO, answers: BinaryIO) -> NoReturn:
    """What that process does, with a group of its own for the compilers that it starts."""
    del requests
    os.setsid()
    signal.alarm(int(seconds) + 1)  # though nobody be left to end it
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # torch tells the log what it cannot compile
    answers.write((refused() or DONE).encode())
    answers.flush()
    os._exit(0)
