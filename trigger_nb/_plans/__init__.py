"""`job.plan`: what running a cell would do."""
