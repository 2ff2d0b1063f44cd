"""What is heard in 8 kHz sound: digits, tones, speech, and whether it is a person or a machine that answered."""
