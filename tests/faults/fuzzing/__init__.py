"""What no honest program would send or store: strategies and mutators for tests/faults/test_fuzz_*.py."""
