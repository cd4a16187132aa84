"""Networks that more than one benchmark trains."""

from torch import nn


def lenet() -> nn.Sequential:
    """LeCun et al. 1998, with rectifiers and maximum pooling: 28 x 28 pixels to 10 classes."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )
