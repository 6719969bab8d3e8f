"""Reading images and masks, training augmentation, test-time views, objects, matching photographs, image names."""
