"""What all benchmarks share: command line, results, terminal, figures, and known truth."""
