"""Events, letters to runs, and schedules, as rows of a store: what is to happen, and for whom."""
