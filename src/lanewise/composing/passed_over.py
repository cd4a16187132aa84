"""Who scored best where that is not the winner: of those that tie the simplest is taken."""

from lanewise.composing.stage import Stage
from lanewise.formatting.labels import told_apart


def passed_over(stage: Stage) -> str:
    """The label of who scored better than the single winner, told from that; empty where nobody did."""
    selection = stage.choice.selection
    best = selection.standings[0]
    if stage.choice.is_ensemble or best.id == selection.winner:
        return ""
    return told_apart((one.label, one.settings) for one in (stage.winner, stage.candidate(best.id)))[1]
