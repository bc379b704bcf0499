"""Programs that assemble a cloud."""
