"""What only Windows has, called by ctypes. Imported on Windows alone, so every file begins by saying so."""
