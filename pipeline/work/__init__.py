"""One image, or a group of the tiles of one: from what is asked for to what is stored."""
