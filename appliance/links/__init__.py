"""Links to other programs and boxes, each optional."""
