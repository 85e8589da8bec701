"""What looks wrong and is not: one thing in each file, found by `diagnostics.explaining.all_harmless`."""
