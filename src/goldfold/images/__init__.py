"""Reading images and masks, augmentation, test-time views, matching photographs."""
