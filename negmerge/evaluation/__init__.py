"""What a model still knows: accuracies, membership inference, and the scale that is chosen by them."""
