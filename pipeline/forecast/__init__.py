"""What a run will take, before it starts: images, bytes, hours, money."""
