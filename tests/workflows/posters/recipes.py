"""A head on a frozen backbone."""

from competitions.posters.data import GENRES

from goldfold.recipes import frozen_backbone

RECIPES = {
    "frozen_backbone": frozen_backbone.recipe(
        targets=GENRES, backbone="test_resnet", pretrained=False, image_size=32, epochs=30, learning_rate=0.01
    )
}
