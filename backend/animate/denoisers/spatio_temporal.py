"""What Stable Video Diffusion and Animate-Anything have in common: networks, conditions, guidance and the VAE.

Both are a ``UNetSpatioTemporalConditionModel`` that sees, beside the noisy latents, the latents of a still image, and
is told its CLIP embedding, the frame rate, how much shall move, and how much noise was added to the image (Stable Video
Diffusion, arXiv 2311.15127, appendix D). They differ in the further channels and words they are given: ``svd.py`` and
``animate_anything.py``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from jaxtyping import Float
from torch import Tensor, nn
from transformers.models.clip.modeling_clip import CLIPVisionModelWithProjection

from ....bridge.errors import CycloramaError
from ...models.checkpoints import Checkpoint
from ...models.memory import activation_bytes, weights_bytes
from .noise_levels import noise_levels, require_falling_levels
from .protocol import Conditions, Latents, Shot
from .turns import Turns

COMPONENTS = ("unet", "vae", "image_encoder", "scheduler", "feature_extractor")
LATENT_CHANNELS = 4
GUIDANCE = (1.0, 3.0)  # of the first and the last frame: stronger the farther from the given image
NOISE_AUGMENTATION = 0.02  # added to the image (-1..1), a hint that it need not be kept to the last pixel
FPS_RANGE = (5, 30)  # frame rates of the videos it was trained on; outside, it is told the nearest
USUAL_MOTION_BUCKET = 127
MOTION_BUCKETS = (1, 255)


class SpatioTemporalDenoiser(ABC):
    """The ``Denoiser`` protocol, but for what the UNet's further channels and tokens are.

    Args:
        checkpoint: with ``COMPONENTS``.
        device: where it computes; a network lies there only while it is in use, unless it is the CPU.
        dtype: of the weights; the VAE's encoder stays in float32 where the checkpoint asks for it (``force_upcast``).
        in_channels: that the UNet has to have.
        encoders: further networks, by name, that ``_tokens`` of a subclass uses.

    Raises ``CycloramaError`` as ``Checkpoint.model`` does, "checkpoint-wrong-channels" and
    "checkpoint-wrong-scheduler".
    """

    name: str
    licence: str
    fingerprint: str
    placements: tuple[str, ...]
    channels = LATENT_CHANNELS
    takes_prompt = False
    takes_strength = True
    default_fps = 7.0

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        dtype: torch.dtype,
        in_channels: int,
        encoders: Mapping[str, nn.Module] = MappingProxyType({}),
    ):
        _check_channels(checkpoint, in_channels)
        self.name, self.licence = checkpoint.name, checkpoint.licence
        self.fingerprint = f"{checkpoint.fingerprint} {dtype}"
        self.placements = ("whole", "blocks") if device.type == "cuda" else ("whole",)
        self._device, self._dtype = device, dtype
        self._scheduler = _scheduler(checkpoint)
        self._pixel_mean, self._pixel_std = _pixel_statistics(checkpoint)
        self._unet = checkpoint.model("unet", UNetSpatioTemporalConditionModel, dtype)
        self._vae = checkpoint.model("vae", AutoencoderKLTemporalDecoder, dtype)
        self._image_encoder = checkpoint.model("image_encoder", CLIPVisionModelWithProjection, dtype)
        if self._vae.config.force_upcast:
            self._vae.encoder.float()
            self._vae.quant_conv.float()
        networks = {"unet": self._unet, "vae": self._vae, "image_encoder": self._image_encoder, **encoders}
        self._turns = Turns(networks, {"unet": self._unet}, device)
        self.weights_bytes = weights_bytes(*networks.values())
        self.scale = 2 ** (len(self._vae.config.block_out_channels) - 1)
        self.multiple = 2 ** (len(self._unet.config.block_out_channels) - 1)
        self.default_frames = self.most_frames = self._unet.config.num_frames
        self._check_features("image_encoder", self._image_encoder.config.projection_dim)

    def latent_frames(self, frames: int) -> int:
        """As many as frames of the video."""
        if frames > self.most_frames:
            raise CycloramaError(
                "too-many-frames",
                f"The model {self.name} makes at most {self.most_frames} frames; {frames} were asked for.",
                "Ask for fewer frames, or for a lower frame rate.",
            )
        return frames

    def noise_levels(self, steps: int) -> tuple[float, ...]:
        """See the protocol."""
        return noise_levels(self._scheduler, steps)

    @torch.no_grad()
    def prepare(
        self, shots: Sequence[Shot], frames: int, fps: float, between: Callable[[], None] = lambda: None
    ) -> list[Conditions]:
        """See the protocol. Frame rates outside ``FPS_RANGE`` count as its nearest end."""
        self.latent_frames(frames)
        tokens = self._tokens(shots, between)
        self._turns.bring("vae")
        conditions = []
        for shot, (with_image, without) in zip(shots, tokens, strict=True):
            between()
            conditions.append({**self._condition(shot, fps), "tokens": with_image, "free_tokens": without})
        return conditions

    @torch.no_grad()
    def predict(
        self,
        noisy: Float[Tensor, "shot frame channel row column"],
        step: int,
        levels: Sequence[float],
        conditions: Sequence[Conditions],
    ) -> Float[Tensor, "shot frame channel row column"]:
        """See the protocol."""
        self._turns.bring("unet")
        self._scheduler.set_timesteps(len(levels) - 1)
        timestep = self._scheduler.timesteps[step]
        latents = noisy.to(self._device, torch.float32)
        return self._clean(latents, levels[step], timestep, _stacked(conditions)).to(noisy.device)

    @torch.no_grad()
    def encode_still(self, image: Float[Tensor, "3 height width"], frames: int) -> Latents:
        """See the protocol."""
        self._turns.bring("vae")
        return self._still(image.to(self._device), frames).to(image.device)

    @torch.no_grad()
    def decode(self, latents: Latents, frames: int) -> Float[Tensor, "frame 3 height width"]:
        """See the protocol. All frames at once: the decoder's temporal layers see the whole video."""
        self._turns.bring("vae")
        return self._decoded(latents.to(self._device)).to(latents.device)

    def place(self, placement: str) -> None:
        """See the protocol."""
        if placement not in self.placements:
            raise ValueError(f"{placement} is none of {self.placements}")
        self._turns.place(placement)

    def release(self) -> None:
        """See the protocol."""
        self._turns.release()

    def predict_bytes(self, shots: int, frames: int, rows: int, columns: int) -> int:
        """See the protocol."""

        def prediction() -> None:
            noisy = torch.empty(shots, frames, LATENT_CHANNELS, rows, columns)
            conditions = [self._empty_condition(rows, columns) for _ in range(shots)]
            self._clean(noisy, 1.0, torch.tensor(0.0), _stacked(conditions))

        return self._bytes("unet", prediction)

    def tile_bytes(self, frames: int, rows: int, columns: int) -> int:
        """See the protocol."""
        decoding = self._bytes("vae", lambda: self._decoded(torch.empty(frames, LATENT_CHANNELS, rows, columns)))
        return max(decoding, self._encoding_bytes(frames, rows, columns))

    def prepare_bytes(self, rows: int, columns: int) -> int:
        """See the protocol. For a video of ``most_frames``."""
        height, width = rows * self.scale, columns * self.scale
        embedding = self._bytes("image_encoder", lambda: self._embedded(torch.empty(3, height, width)))
        return max(embedding, self._encoding_bytes(self.most_frames, rows, columns))

    def _tokens(self, shots: Sequence[Shot], between: Callable[[], None]) -> list[tuple[Tensor, Tensor]]:
        """What the UNet's cross-attention sees of each shot, (token, feature): with guidance, and without."""
        self._turns.bring("image_encoder")
        tokens = []
        for shot in shots:
            between()
            embedding = self._embedded(shot.image.to(self._device)).cpu()
            tokens.append((embedding, torch.zeros_like(embedding)))
        return tokens

    def _condition(self, shot: Shot, fps: float) -> dict[str, Tensor]:
        """What else the UNet is given of a shot: image latents, added times."""
        noise = torch.randn(shot.image.shape, generator=torch.Generator().manual_seed(shot.seed))
        image = shot.image.cpu() + NOISE_AUGMENTATION * noise
        told_fps = _within(round(fps), FPS_RANGE) - 1  # as in training: the number of intervals, not of frames
        bucket = _within(round(USUAL_MOTION_BUCKET * shot.strength), MOTION_BUCKETS)
        return {
            "image_latents": self._encoded(image.to(self._device)).cpu(),
            "added_times": torch.tensor([told_fps, bucket, NOISE_AUGMENTATION]),
        }

    def _empty_condition(self, rows: int, columns: int) -> dict[str, Tensor]:
        """Tensors of the shapes that ``prepare`` makes, to find out how much memory they lead to."""
        tokens = torch.empty(1, self._unet.config.cross_attention_dim, dtype=self._dtype)
        image_latents = torch.empty(LATENT_CHANNELS, rows, columns)
        return {"image_latents": image_latents, "added_times": torch.empty(3), "tokens": tokens, "free_tokens": tokens}

    @abstractmethod
    def _channels(self, scaled: Tensor, image_latents: Tensor, conditions: Conditions) -> Tensor:
        """The UNet's input, from noisy latents of unit variance and image latents, all (shot, frame, channel, ...)."""

    def _clean(self, noisy: Tensor, sigma: float, timestep: Tensor, conditions: Conditions) -> Tensor:
        """x̂ with classifier-free guidance that grows over the frames; its two passes run one after the other."""
        conditions = {name: value.to(noisy.device) for name, value in conditions.items()}
        free = self._unet_output(noisy, sigma, timestep, conditions, guided=False)
        guided = self._unet_output(noisy, sigma, timestep, conditions, guided=True)
        guidance = torch.linspace(*GUIDANCE, noisy.shape[1], device=noisy.device)[:, None, None, None]
        return self._clean_from(free + guidance * (guided - free), noisy, sigma)

    def _unet_output(
        self, noisy: Tensor, sigma: float, timestep: Tensor, conditions: Conditions, *, guided: bool
    ) -> Tensor:
        image_latents = conditions["image_latents"][:, None].expand_as(noisy)
        scaled = noisy / math.sqrt(sigma**2 + 1)
        sample = self._channels(scaled, image_latents if guided else torch.zeros_like(noisy), conditions)
        return self._unet(
            sample.to(self._dtype),
            timestep.to(noisy.device),
            encoder_hidden_states=conditions["tokens" if guided else "free_tokens"].to(self._dtype),
            added_time_ids=conditions["added_times"],
            return_dict=False,
        )[0].float()

    def _clean_from(self, output: Tensor, noisy: Tensor, sigma: float) -> Tensor:
        """x̂ from what the network was trained to predict (Karras et al., arXiv 2206.00364, table 1)."""
        kind = self._scheduler.config["prediction_type"]
        if kind == "v_prediction":
            return noisy / (sigma**2 + 1) - output * (sigma / math.sqrt(sigma**2 + 1))
        return noisy - sigma * output if kind == "epsilon" else output

    def _embedded(self, image: Float[Tensor, "3 height width"]) -> Float[Tensor, "1 feature"]:
        """CLIP's embedding of an image in -1..1."""
        size = self._image_encoder.config.image_size
        small = nn.functional.interpolate(image[None], (size, size), mode="bicubic", antialias=True)
        mean, std = (value[:, None, None].to(image.device) for value in (self._pixel_mean, self._pixel_std))
        return self._image_encoder(((small + 1) / 2 - mean).div(std).to(self._dtype)).image_embeds

    def _encoded(self, image: Float[Tensor, "3 height width"]) -> Float[Tensor, "channel row column"]:
        """The VAE's latents, not scaled."""
        return self._vae.encode(image[None].to(_dtype_of(self._vae.encoder))).latent_dist.mode()[0].float()

    def _still(self, image: Float[Tensor, "3 height width"], frames: int) -> Latents:
        return (self._encoded(image) * self._vae.config.scaling_factor).repeat(frames, 1, 1, 1)

    def _decoded(self, latents: Latents) -> Float[Tensor, "frame 3 height width"]:
        unscaled = (latents / self._vae.config.scaling_factor).to(_dtype_of(self._vae.decoder))
        return self._vae.decode(unscaled, num_frames=len(latents)).sample.float()

    def _check_features(self, encoder: str, found: int) -> None:
        """Raise unless the UNet's cross-attention takes as many features as the encoder gives."""
        if found != (needed := self._unet.config.cross_attention_dim):
            raise CycloramaError(
                "checkpoint-wrong-class",
                f"The {encoder} of the checkpoint {self.name} gives {found} features, but its unet takes {needed}.",
            )

    def _encoding_bytes(self, frames: int, rows: int, columns: int) -> int:
        height, width = rows * self.scale, columns * self.scale
        return self._bytes("vae", lambda: self._still(torch.empty(3, height, width), frames))

    def _bytes(self, network: str, call: Callable[[], object]) -> int:
        """Weights and activations on the device while ``call``, on tensors of the CPU, runs that network."""
        return self._turns.weight_bytes(network) + activation_bytes(call, self._turns.put_away(network))


def _check_channels(checkpoint: Checkpoint, in_channels: int) -> None:
    found = checkpoint.config("unet").get("in_channels")
    if found == in_channels:
        return
    right = {8: "svd", 9: "animate-anything"}.get(found)  # pyright: ignore[reportArgumentType]
    raise CycloramaError(
        "checkpoint-wrong-channels",
        f"The unet of the checkpoint {checkpoint.address} has {found} input channels, but {in_channels} are needed.",
        f"It is for --model {right}." if right else "",
    )


def _scheduler(checkpoint: Checkpoint) -> EulerDiscreteScheduler:
    scheduler = checkpoint.scheduler()
    if not isinstance(scheduler, EulerDiscreteScheduler):
        raise CycloramaError(
            "checkpoint-wrong-class",
            f"The scheduler of the checkpoint {checkpoint.address} is of the class {type(scheduler).__name__}, "
            "but EulerDiscreteScheduler is needed.",
        )
    require_falling_levels(checkpoint, scheduler)
    return scheduler


def _pixel_statistics(checkpoint: Checkpoint) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (3,) of the pixels (0..1) that the image encoder was trained on."""
    config = checkpoint.config("feature_extractor")
    mean, std = (torch.tensor(config.get(name, ())) for name in ("image_mean", "image_std"))
    if mean.shape != (3,) or std.shape != (3,):
        raise CycloramaError(
            "checkpoint-damaged",
            f"The feature_extractor of the checkpoint {checkpoint.address} does not say how pixels are normalised.",
        )
    return mean, std


def _stacked(conditions: Sequence[Conditions]) -> dict[str, Tensor]:
    return {name: torch.stack([condition[name] for condition in conditions]) for name in conditions[0]}


def _dtype_of(network: nn.Module) -> torch.dtype:
    return next(network.parameters()).dtype


def _within(value: int, limits: tuple[int, int]) -> int:
    return min(max(value, limits[0]), limits[1])
