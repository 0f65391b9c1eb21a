"""What all rooms have in common: the player, the words, the colours, and how the browser gets them."""
