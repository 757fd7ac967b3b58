"""`io`: the object through which a run function starts tasks, waits and logs."""
