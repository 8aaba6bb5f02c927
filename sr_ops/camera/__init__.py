"""The forward model of any camera, and what undoes it in closed form or by iteration."""
