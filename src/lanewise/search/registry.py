"""The policies by name."""

from collections.abc import Mapping
from types import MappingProxyType

from lanewise.errors import UsageError, as_given
from lanewise.search.genetic import Genetic
from lanewise.search.halving import Halving
from lanewise.search.hyperband import Hyperband
from lanewise.search.never import NeverPrune
from lanewise.search.policy import Policy
from lanewise.search.population import PopulationBased
from lanewise.search.racing import Racing

POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "halving": Halving(),
        "hyperband": Hyperband(),
        "racing": Racing(),
        "population": PopulationBased(),
        "genetic": Genetic(),
        "never": NeverPrune(),
    }
)


def policy_of(given: object) -> Policy:
    """The policy of that name, or the instance itself; ``UsageError`` for anything else.

    >>> policy_of("never")
    NeverPrune()
    """
    if isinstance(given, Policy):
        return given
    if isinstance(given, type) and issubclass(given, Policy):
        message = f"policy must be an instance: give {given.__name__}() rather than the class"
        raise UsageError(message)
    if not isinstance(given, str) or given not in POLICIES:
        message = (
            f"policy must be one of {', '.join(POLICIES)}, or an instance of a Policy of yours, got {as_given(given)}"
        )
        raise UsageError(message)
    return POLICIES[given]


def policy_name(policy: Policy) -> str:
    """What the policy is called in the registry, or the name of its class.

    >>> policy_name(Halving()), policy_name(Halving(eta=2.0))
    ('halving', 'Halving')
    """
    return next((name for name, own in POLICIES.items() if own == policy), type(policy).__name__)
