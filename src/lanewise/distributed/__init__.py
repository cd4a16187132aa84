"""One run over several processes: who takes part, how they meet, and what they tell each other."""
