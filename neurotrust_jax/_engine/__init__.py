"""How replicates are computed fast; the statistics ask for them and see no more of it."""
