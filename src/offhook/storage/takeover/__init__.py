"""What other phones leave behind: pure readers of their files. Each returns what it read, or raises UnreadableFile."""
