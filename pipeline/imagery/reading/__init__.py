"""Files to pixels: hostile files, in processes of their own."""
