"""From a table to a model: the stages of ``fit``, and the run that they make."""
