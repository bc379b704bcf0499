"""Addresses and wires: who has which address, and what a node's network shall look like."""
