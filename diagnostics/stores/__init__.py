"""Where runs lie that are no files here, one store in each file."""
