"""What stands beside every result that could be taken for a finding."""

RESEARCH_ONLY = "Research software: not for diagnosis, planning or any other clinical use."
