"""When schedules are due: times, without a store and without a clock."""
