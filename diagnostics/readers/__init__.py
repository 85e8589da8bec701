"""Log formats, one per file; `diagnostics.readers.reader` says what each has."""
