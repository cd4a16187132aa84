"""Tables that come as text: encodings, delimiters, quotes, headers; JSON lines and svmlight."""
