"""Learned prompts of vision-language towers (CLIP-ReID): templates, towers, losses and the two stages."""
