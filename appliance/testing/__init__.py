"""For tests of engines that other packages bring: what every engine promises, and a network of known answers."""
