"""Wan image-to-video as a denoiser: 2.1, 2.2 A14B with its two experts, and 2.2 TI2V-5B, in diffusers' classes.

Flow matching (arXiv 2503.20314): a noisy latent is z = (1 - σ) x₀ + σ·noise, the transformer predicts the velocity
v = noise - x₀, and so x̂ = z - σ·v. The image comes in two ways. Wan 2.1 and 2.2 A14B see, beside the noisy latents,
four channels that say which frames are given and the latents of a video whose first frame is the image and whose others
are grey. 2.2 TI2V-5B has the clean image in place of the first latent frame, and is told noise level 0 for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad
from transformers import CLIPVisionModel, UMT5EncoderModel

from ....bridge.errors import CycloramaError
from ...models.checkpoints import Checkpoint
from ...models.memory import activation_bytes, weights_bytes
from .noise_levels import noise_levels, require_falling_levels, wrong_scheduler
from .protocol import Conditions, Latents, Shot
from .turns import Turns

COMPONENTS = (
    "scheduler",
    "tokenizer",
    "text_encoder",
    "image_processor",
    "image_encoder",
    "vae",
    "transformer",
    "transformer_2",
)
"""Those that one or another kind of Wan has."""

TEXT_TOKENS = 512
GUIDANCE = 5.0  # Wan 2.1 and 2.2 TI2V-5B (their `sample_guide_scale`)
GUIDANCE_OF_EXPERTS = 3.5  # Wan 2.2 I2V-A14B, both experts
FRAMES = 81  # `frame_num` of Wan 2.1 and 2.2 I2V-A14B
FRAMES_OF_5B = 121

NEGATIVE_PROMPT = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，"
    "丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，"
    "杂乱的背景，三条腿，背景人很多，倒着走"
)
"""What no video shall have, in the words that Wan's authors use for all their videos (`sample_neg_prompt`)."""


class Wan:
    """A Wan image-to-video checkpoint; see ``Denoiser`` for what its attributes and methods mean.

    ``Shot.mask`` and ``Shot.strength`` have no effect, nor has ``fps``: the model is told of none of them.
    """

    takes_prompt = True
    takes_strength = False

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype):
        """Load the networks, onto the CPU.

        Args:
            checkpoint: a folder with Wan's ``COMPONENTS``.
            device: where the networks compute.
            dtype: of transformer and encoders: bfloat16 on a GPU, float32 on a CPU. The VAE is in float32 always.

        Raises ``CycloramaError``: "checkpoint-takes-no-image", "checkpoint-needs-more-than-an-image",
        "checkpoint-wrong-scheduler", and as ``Checkpoint`` does.
        """
        self.name, self.licence = checkpoint.name, checkpoint.licence
        self.fingerprint = f"{checkpoint.fingerprint} {dtype}"
        index = checkpoint.index()
        self._device, self._dtype = device, dtype
        self._expands_timesteps = bool(index.get("expand_timesteps"))
        self._boundary: float | None = index.get("boundary_ratio")
        self._networks = _load_networks(checkpoint, dtype, self._expands_timesteps, self._boundary is not None)
        stacks = {part: network for part, network in self._networks.items() if part.startswith("transformer")}
        stacks["text_encoder"] = self._networks["text_encoder"].encoder
        self._turns = Turns(self._networks, stacks, device)
        self._tokenizer = checkpoint.tokenizer()
        self._texts: dict[str, Float[Tensor, "token channel"]] = {}
        self._image_processor = checkpoint.image_processor() if "image_encoder" in self._networks else None
        self._scheduler = _scheduler(checkpoint)

        vae = self._networks["vae"].config
        self._frames_per_latent: int = vae.scale_factor_temporal
        self._mean, self._std = (
            torch.tensor(values).view(-1, 1, 1, 1) for values in (vae.latents_mean, vae.latents_std)
        )
        self._patch: int = self._networks["transformer"].config.patch_size[1]
        self._guidance = GUIDANCE if self._boundary is None else GUIDANCE_OF_EXPERTS
        self.scale: int = vae.scale_factor_spatial
        self.multiple = self._patch
        self.channels: int = vae.z_dim
        trained = FRAMES_OF_5B if self._expands_timesteps else FRAMES
        self.default_frames = self.most_frames = trained - (trained - 1) % self._frames_per_latent
        self.default_fps = 24.0 if self._expands_timesteps else 16.0
        self.weights_bytes = weights_bytes(*self._networks.values())
        self.placements: tuple[str, ...] = ("whole", "blocks") if device.type == "cuda" else ("whole",)

    def latent_frames(self, frames: int) -> int:
        """See ``Denoiser``. The first frame has a latent of its own, then every four share one: 1, 5, 9 ... frames."""
        if frames > self.most_frames:
            raise CycloramaError(
                "too-many-frames",
                f"{self.name} makes videos of at most {self.most_frames} frames, not of {frames}.",
                "Ask for fewer frames.",
            )
        latents, rest = divmod(frames - 1, self._frames_per_latent)
        if frames < 1 or rest:
            below = max(latents, 0) * self._frames_per_latent + 1
            nearest = "1" if frames < 1 else f"{below} or {below + self._frames_per_latent}"
            raise CycloramaError(
                "frames-not-possible",
                f"{self.name} can make a video of {nearest} frames, but not of {frames}.",
                f"Its videos have one frame more than a multiple of {self._frames_per_latent}.",
            )
        return latents + 1

    def noise_levels(self, steps: int) -> tuple[float, ...]:
        """See ``Denoiser``."""
        return noise_levels(self._scheduler, steps)

    @torch.no_grad()
    def prepare(
        self, shots: Sequence[Shot], frames: int, fps: float, between: Callable[[], None] = lambda: None
    ) -> list[Conditions]:
        """See ``Denoiser``. Shots with the same prompt share its embedding, and all share the negative prompt's."""
        self.latent_frames(frames)
        between()
        self._embed_texts([NEGATIVE_PROMPT, *(shot.prompt for shot in shots)])
        conditions = [{"negative": self._texts[NEGATIVE_PROMPT], "prompt": self._texts[shot.prompt]} for shot in shots]
        if self._image_processor is not None:
            encoder = self._turns.bring("image_encoder")
            for condition, shot in zip(conditions, shots, strict=True):
                between()
                condition["image"] = self._embed_image(encoder, self._device, shot.image).to("cpu", self._dtype)
        vae = self._turns.bring("vae")
        for condition, shot in zip(conditions, shots, strict=True):
            between()
            condition["given"] = self._encode_given(vae, self._device, shot.image, frames).to("cpu")
        return list(conditions)

    @torch.no_grad()
    def predict(
        self,
        noisy: Float[Tensor, "shot frame channel row column"],
        step: int,
        levels: Sequence[float],
        conditions: Sequence[Conditions],
    ) -> Float[Tensor, "shot frame channel row column"]:
        """See ``Denoiser``. With and without the prompt one after the other, for half the memory."""
        self._scheduler.set_timesteps(len(levels) - 1)
        timestep = float(self._scheduler.timesteps[step])
        network = self._turns.bring(self._expert(timestep))
        return self._denoise(network, self._device, noisy, levels[step], timestep, conditions).to(noisy.device)

    @torch.no_grad()
    def encode_still(self, image: Float[Tensor, "3 height width"], frames: int) -> Latents:
        """See ``Denoiser``. Where ``image`` lies."""
        self.latent_frames(frames)
        return self._encode_still(self._turns.bring("vae"), self._device, image, frames).to(image.device)

    @torch.no_grad()
    def decode(self, latents: Latents, frames: int) -> Float[Tensor, "frame 3 height width"]:
        """See ``Denoiser``. Where ``latents`` lie."""
        return self._decode(self._turns.bring("vae"), self._device, latents).to(latents.device)

    def place(self, placement: str) -> None:
        """See ``Denoiser``. In "blocks" the text encoder, too, comes to the device block by block."""
        self._turns.place(placement)

    def predict_bytes(self, shots: int, frames: int, rows: int, columns: int) -> int:
        """See ``Denoiser``. Convolutions and matrix products may take some working memory besides."""
        noisy = (shots, self.latent_frames(frames), self.channels, rows, columns)

        def call(network: Any) -> Tensor:
            conditions = [self._blank_conditions(*noisy[1:]) for _ in range(shots)]
            return self._denoise(network, torch.device("cpu"), torch.zeros(noisy), 1.0, 1.0, conditions)

        return self._bytes("transformer", call)

    def tile_bytes(self, frames: int, rows: int, columns: int) -> int:
        """See ``Denoiser``. Convolutions may take some working memory besides."""
        cpu = torch.device("cpu")
        latents = (self.latent_frames(frames), self.channels, rows, columns)
        image = (3, rows * self.scale, columns * self.scale)
        return max(
            self._bytes("vae", lambda vae: self._encode_still(vae, cpu, torch.zeros(image), frames)),
            self._bytes("vae", lambda vae: self._decode(vae, cpu, torch.zeros(latents))),
        )

    def prepare_bytes(self, rows: int, columns: int) -> int:
        """See ``Denoiser``. For a video of ``most_frames``."""
        cpu = torch.device("cpu")
        image = (3, rows * self.scale, columns * self.scale)
        tokens = torch.zeros(1, TEXT_TOKENS, dtype=torch.long)
        needs = [
            self._bytes("text_encoder", lambda encoder: encoder(tokens.clone(), tokens + 1).last_hidden_state),
            self._bytes("vae", lambda vae: self._encode_given(vae, cpu, torch.zeros(image), self.most_frames)),
            self._bytes("vae", lambda vae: self._encode_still(vae, cpu, torch.zeros(image), self.most_frames)),
        ]
        if "image_encoder" in self._networks:
            side = self._networks["image_encoder"].config.image_size
            pixels = torch.zeros(1, 3, side, side, dtype=self._dtype)
            needs += [self._bytes("image_encoder", lambda encoder: encoder(pixels.clone(), output_hidden_states=True))]
        return max(needs)

    def release(self) -> None:
        """See ``Denoiser``."""
        self._turns.release()

    def _bytes(self, part: str, call: Callable[[Any], object]) -> int:
        """Memory that ``call``, made of CPU tensors and given the network, takes on the device."""
        network = self._turns.put_away(part)
        with torch.no_grad():
            return self._turns.weight_bytes(part) + activation_bytes(partial(call, network), network)

    # The stages, each on the device that it is given: to run, or to measure what a run would take.

    def _embed_texts(self, texts: Iterable[str]) -> None:
        """Into ``_texts``, where they stay: an embedding takes 4 MB at most, its encoder 11 GB."""
        if new := set(texts) - self._texts.keys():
            encoder = self._turns.bring("text_encoder")
            self._texts |= {text: self._embed_text(encoder, text).to("cpu", self._dtype) for text in new}

    def _embed_text(self, encoder: Any, text: str) -> Float[Tensor, "token channel"]:
        tokens = self._tokenizer(prompt_clean(text), max_length=TEXT_TOKENS, truncation=True, return_tensors="pt")
        return encoder(tokens.input_ids.to(self._device), tokens.attention_mask.to(self._device)).last_hidden_state[0]

    def _embed_image(
        self, encoder: Any, device: torch.device, image: Float[Tensor, "3 height width"]
    ) -> Float[Tensor, "token channel"]:
        pixels = ((image.clamp(-1, 1) + 1) * 127.5).round().to("cpu", torch.uint8).permute(1, 2, 0).numpy()
        inputs = self._image_processor(images=pixels, return_tensors="pt")["pixel_values"]  # pyright: ignore[reportOptionalCall]
        return encoder(inputs.to(device, self._dtype), output_hidden_states=True).hidden_states[-2][0]

    def _encode_given(
        self, vae: Any, device: torch.device, image: Float[Tensor, "3 height width"], frames: int
    ) -> Float[Tensor, "frame channel row column"]:
        """What the model is given of the video: the image as its first frame, and grey after it, or nothing."""
        if self._expands_timesteps:
            return self._encode_still(vae, device, image, 1)
        video = pad(image.to(device, torch.float32)[:, None], (0, 0, 0, 0, 0, frames - 1))
        return self._encode(vae, video).to(self._dtype)

    def _encode_still(
        self, vae: Any, device: torch.device, image: Float[Tensor, "3 height width"], frames: int
    ) -> Latents:
        # All frames, though they are the same, because their latents are not: before the first frame the causal
        # convolutions see zeros. In the public VAEs they look 28 latents back (9 convolutions over 2 latents each, the
        # 4 before them over 2 half as long, the 9 before those over 2 frames, and the two that halve the time), so of
        # the 21 latents of 81 frames no two are the same.
        return self._encode(vae, image.to(device, torch.float32)[:, None].expand(-1, frames, -1, -1))

    def _encode(self, vae: Any, video: Float[Tensor, "3 frame height width"]) -> Latents:
        latents = vae.encode(video[None]).latent_dist.mode()[0]
        return ((latents - self._mean.to(video.device)) / self._std.to(video.device)).transpose(0, 1)

    def _decode(self, vae: Any, device: torch.device, latents: Latents) -> Float[Tensor, "frame 3 height width"]:
        latents = latents.to(device, torch.float32).transpose(0, 1)
        return vae.decode((latents * self._std.to(device) + self._mean.to(device))[None]).sample[0].transpose(0, 1)

    def _expert(self, timestep: float) -> str:
        """Of two transformers, the one for that much noise."""
        boundary = (self._boundary or 0.0) * self._scheduler.config.num_train_timesteps
        return "transformer" if timestep >= boundary else "transformer_2"

    def _denoise(
        self,
        network: Any,
        device: torch.device,
        noisy: Float[Tensor, "shot frame channel row column"],
        level: float,
        timestep: float,
        conditions: Sequence[Conditions],
    ) -> Float[Tensor, "shot frame channel row column"]:
        noisy = noisy.to(device, torch.float32).transpose(1, 2)  # Wan has the channels first
        given = _stack(conditions, "given").to(device).transpose(1, 2)
        if self._expands_timesteps:
            latents = torch.cat([given, noisy[:, :, 1:]], 2)
            timesteps = self._timesteps_of_tokens(noisy, timestep)
        else:
            latents = torch.cat([noisy, self._frames_given(noisy), given], 1)
            timesteps = torch.full(noisy.shape[:1], timestep, device=device)
        velocity = self._guided(network, latents.to(self._dtype), timesteps, conditions)
        clean = noisy - level * velocity
        if self._expands_timesteps:
            clean[:, :, :1] = given
        return clean.transpose(1, 2).contiguous()

    def _timesteps_of_tokens(
        self, noisy: Float[Tensor, "shot channel frame row column"], timestep: float
    ) -> Float[Tensor, "shot token"]:
        """0 for the tokens of the first frame, which is the clean image, and ``timestep`` for all others."""
        shots, _, frames, rows, columns = noisy.shape
        tokens = (rows // self._patch) * (columns // self._patch)
        timesteps = torch.full((shots, frames, tokens), timestep, device=noisy.device)
        timesteps[:, 0] = 0
        return timesteps.flatten(1)

    def _frames_given(
        self, noisy: Float[Tensor, "shot channel frame row column"]
    ) -> Float[Tensor, "shot mask frame row column"]:
        """1 where a frame is given: a channel for each frame that shares a latent."""
        shots, _, frames, rows, columns = noisy.shape
        mask = noisy.new_zeros(shots, self._frames_per_latent, frames, rows, columns)
        mask[:, :, 0] = 1
        return mask

    def _guided(
        self,
        network: Any,
        latents: Float[Tensor, "shot channel frame row column"],
        timesteps: Float[Tensor, "shot ..."],
        conditions: Sequence[Conditions],
    ) -> Float[Tensor, "shot channel frame row column"]:
        """The velocity, led away from the negative prompt."""
        image = _stack(conditions, "image").to(latents.device) if "image" in conditions[0] else None

        def velocity(text: str) -> Tensor:
            embedding = _stack(conditions, text, TEXT_TOKENS).to(latents.device)
            return network(latents, timesteps, embedding, image, return_dict=False)[0].float()

        negative = velocity("negative")
        return negative + self._guidance * (velocity("prompt") - negative)

    def _blank_conditions(self, frames: int, channels: int, rows: int, columns: int) -> Conditions:
        """As ``prepare`` makes them, for a prompt of full length."""
        text = torch.zeros(TEXT_TOKENS, self._networks["text_encoder"].config.d_model, dtype=self._dtype)
        if self._expands_timesteps:
            return {"negative": text, "prompt": text, "given": torch.zeros(1, channels, rows, columns)}
        given = torch.zeros(frames, channels, rows, columns, dtype=self._dtype)
        if "image_encoder" not in self._networks:
            return {"negative": text, "prompt": text, "given": given}
        vision = self._networks["image_encoder"].config
        tokens = (vision.image_size // vision.patch_size) ** 2 + 1
        image = torch.zeros(tokens, vision.hidden_size, dtype=self._dtype)
        return {"negative": text, "prompt": text, "given": given, "image": image}


def _load_networks(
    checkpoint: Checkpoint, dtype: torch.dtype, expands_timesteps: bool, experts: bool
) -> dict[str, Any]:
    networks = {"vae": checkpoint.model("vae", AutoencoderKLWan, torch.float32)}
    _require_image_input(checkpoint, networks["vae"], expands_timesteps)
    for part in ("transformer", "transformer_2") if experts else ("transformer",):
        networks[part] = checkpoint.model(part, WanTransformer3DModel, dtype)
    if networks["transformer"].config.image_dim is not None:
        networks["image_encoder"] = checkpoint.model("image_encoder", CLIPVisionModel, dtype)
    networks["text_encoder"] = checkpoint.model("text_encoder", UMT5EncoderModel, dtype)
    return networks


def _require_image_input(checkpoint: Checkpoint, vae: AutoencoderKLWan, expands_timesteps: bool) -> None:
    """Raise unless the transformer sees an image beside the noise, and nothing else."""
    transformer = checkpoint.config("transformer")
    latent, mask = vae.config["z_dim"], vae.config["scale_factor_temporal"]
    needed = latent if expands_timesteps else latent + mask + latent
    if transformer.get("in_channels", needed) == latent and not expands_timesteps:
        raise CycloramaError(
            "checkpoint-takes-no-image",
            f"{checkpoint.address} makes videos from text alone, so it cannot animate a picture.",
            "Choose an image-to-video checkpoint of Wan, such as Wan-AI/Wan2.2-TI2V-5B-Diffusers.",
        )
    if transformer.get("in_channels", needed) != needed or transformer.get("pos_embed_seq_len"):
        raise CycloramaError(
            "checkpoint-needs-more-than-an-image",
            f"{checkpoint.address} is a Wan that wants more to start from than a picture and a prompt.",
            "Choose an image-to-video checkpoint of Wan, such as Wan-AI/Wan2.2-TI2V-5B-Diffusers.",
        )


def _scheduler(checkpoint: Checkpoint) -> Any:
    """The checkpoint's own, if it is for flow matching, whose noise levels are shares: 1 is noise alone."""
    scheduler = checkpoint.scheduler()
    if scheduler.config.get("prediction_type", "flow_prediction") != "flow_prediction":  # FlowMatch... do not name it
        raise wrong_scheduler(checkpoint, "it is not for flow matching")
    require_falling_levels(checkpoint, scheduler, highest=1.0)
    return scheduler


def _stack(conditions: Sequence[Conditions], part: str, length: int = 0) -> Tensor:
    """That part of all shots, (shot, ...), each filled up with zeros to ``length``."""
    parts = [condition[part] for condition in conditions]
    if length:
        parts = [pad(tensor, (0, 0, 0, length - len(tensor))) for tensor in parts]
    return torch.stack(parts)
