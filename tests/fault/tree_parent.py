"""Boosts lanes by workers in a folder that it is given, says which processes these are, and forks one if asked to."""

import os
import signal
import sys
from pathlib import Path

import numpy as np

from lanewise.models.trees import TreeSpec
from lanewise.task import Task
from lanewise.training.trees.data import TreeData
from lanewise.training.trees.pool import TreePool

rng = np.random.default_rng(0)
numbers = rng.normal(size=(2000, 20))
data = TreeData(numbers=numbers, codes=np.zeros((2000, 0), dtype=int), target=numbers[:, 0])
task = Task(target="y", kind="regression", metric="rmse")
with TreePool(data, task, workers=2, threads_per_worker=1, folder=Path(sys.argv[1])) as pool:
    for name in "ab":
        pool.open(name, TreeSpec(rounds=100_000), train_rows=np.arange(2000), valid_rows=np.arange(9), seed=0)
        pool.advance(name, 1)
    print(*pool.process_ids(), flush=True)
    if "fork" in sys.argv:
        child = os.fork()
        if child == 0:
            os.closerange(0, 2)
            signal.pause()
        print(child, flush=True)
    pool.advance("a", 100_000)
