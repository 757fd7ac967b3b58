"""Plans, which `job.plan` makes: forecasts of what running a cell would do."""
