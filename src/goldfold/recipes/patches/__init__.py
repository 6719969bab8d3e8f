"""Parts of the recipe `patch_library`: its parameters, scores of patches, and the sizes of defects that it sees."""
