"""The catalogue as a map: where each item lies, and which are out of the way."""
