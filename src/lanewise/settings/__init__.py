"""What may be told, as it is stated: names, numbers and texts, and all of a fit checked at once."""
