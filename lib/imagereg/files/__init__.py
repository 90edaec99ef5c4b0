"""What lies on disk: images, lists, solutions, texts; written whole or not at all."""
