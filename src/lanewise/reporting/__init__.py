"""What users look at: the HTML report and the summary in the terminal, both made from the run document."""
