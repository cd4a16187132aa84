"""How a race is planned: what lanes cost here, which candidates enter, what fits into the budget and the memory."""
