"""The LR image as samples: which are known, where they lie, how they are turned, cut into tiles and resized."""
