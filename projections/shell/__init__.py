"""The top floor: arguments and the clock in, one function called, its finding printed."""
