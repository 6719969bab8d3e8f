"""Where timm finds a model: on this machine if it can, on the hub only if the network answers."""

from __future__ import annotations

from typing import Any

from torch import nn

PATIENCE = 5.0  # seconds that a server may take to answer
HUB, FOLDER = "hf-hub:", "local-dir:"  # how names begin that timm finds on the hub, or in a folder


def created(name: str, pretrained: bool, **options: Any) -> nn.Module:
    """Create timm's model with what is on this machine, else download its weights, of the hub its configuration, too.

    Without a network the hub's client retries for most of a minute, so the network is tried here first.
    """
    import timm
    from huggingface_hub import constants
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        absent = error
    finally:
        constants.HF_HUB_OFFLINE = offline
    if offline or not reachable(constants.ENDPOINT):
        raise LocalEntryNotFoundError("no weights here, and no network") from absent
    return timm.create_model(name, pretrained=pretrained, **options)


def reachable(address: str) -> bool:
    """Whether a server answers within seconds, through the proxy if there is one."""
    import http.client
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return True
