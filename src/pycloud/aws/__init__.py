"""What both AWS adapters share of the wire: who signed a request, and whether its body is whole."""
