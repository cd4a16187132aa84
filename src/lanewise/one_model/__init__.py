"""``lanewise.train``: one model trained, on one device or split over many."""

from lanewise.one_model.result import TrainResult
from lanewise.one_model.train import train

__all__ = ["TrainResult", "train"]
