"""What trainings and pre-trainings share: the folder a run writes and goes on from, and
the loop that runs it."""
