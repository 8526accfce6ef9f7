"""How the box is: readings in, findings with advice out; and the proof that it still sees."""
