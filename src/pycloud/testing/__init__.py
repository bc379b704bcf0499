"""For those who test: conformance checks for drivers, and a simulated world that can die at any
point."""
