"""What findings come from: one cause in each file, found by `diagnostics.reasoning.all_theories`."""
