"""What users test their own extensions with. The tests of brainstorm itself are elsewhere."""
