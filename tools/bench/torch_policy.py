"""The policy in PyTorch, as its users write and run it: the peer that benchmarks compare with. Parameter names are those of
the checkpoints. Nothing is restructured; every layer is the ordinary module or function. Any PyTorch from 1.13 on.

Tokens mode takes precomputed BEV tokens, raster mode runs the ResNet-18-D backbone. Shapes: B batch, To observed steps, H
future waypoints, E width."""
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class PolicyConfig:
    mode: str = "tokens"
    observed: int = 4
    horizon: int = 6
    state_dim: int = 14
    vl_tokens: int = 512
    reasoning_tokens: int = 7
    vlm_dim: int = 2560
    vl_emb_dim: int = 1536
    grid: tuple = (14, 14)  # of the BEV cells that init_att speaks of
    base_channels: int = 64
    width: int = 1024
    heads: int = 16
    layers: int = 12
    condition_layers: int = 6
    dropout_embedding: float = 0.1
    dropout_attention: float = 0.1
    causal: bool = True
    share_decoder_layers: bool = True


# --- attention -------------------------------------------------------------------------------------------------------


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


def rotate(x):
    """Rotary position embedding of x [B, T, heads, d], rotate-half form."""
    tokens, d = x.shape[1], x.shape[3]
    frequency = 10000.0 ** (-torch.arange(0, d, 2, dtype=x.dtype, device=x.device) / d)
    angle = torch.arange(tokens, dtype=x.dtype, device=x.device)[:, None] * frequency
    angle = torch.cat([angle, angle], -1)[None, :, None]
    first, second = x.chunk(2, -1)
    return x * angle.cos() + torch.cat([-second, first], -1) * angle.sin()


class Attention(nn.Module):
    """Multi-head attention with packed input projections, over inputs [B, T, E]."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, query, key, value, mask=None):
        batch, _, width = query.shape
        if query is key and key is value:
            q, k, v = F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
        else:
            weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
            q, k, v = (F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))
        q, k, v = (x.reshape(batch, -1, self.heads, width // self.heads).transpose(1, 2) for x in (q, k, v))
        p = self.dropout if self.training else 0.0
        if hasattr(F, "scaled_dot_product_attention"):
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p)
        else:
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            if mask is not None:
                scores = scores + mask
            out = F.dropout(scores.softmax(-1), p) @ v
        return self.out_proj(out.transpose(1, 2).reshape(batch, -1, width))


class QkNormAttention(nn.Module):
    """Attention whose queries and keys are normalised head by head before their projections; rotary embedding where queries
    and keys are of equal number."""

    def __init__(self, width, heads, dropout):
        super().__init__()
        self.heads = heads
        self.attn = Attention(width, heads, dropout)
        self.q_norm = RmsNorm(width // heads)
        self.k_norm = RmsNorm(width // heads)

    def forward(self, query, keys, mask=None):
        q = self.q_norm(query.unflatten(-1, (self.heads, -1)))
        k = self.k_norm(keys.unflatten(-1, (self.heads, -1)))
        if q.shape[1] == k.shape[1]:
            q, k = rotate(q), rotate(k)
        return self.attn(q.flatten(2), k.flatten(2), keys, mask)


# --- BEV encoder -----------------------------------------------------------------------------------------------------


def convolution(inputs, outputs, kernel=3, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = convolution(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = convolution(outputs, outputs), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride == 2:
            pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
            self.downsample = nn.Sequential(pool, convolution(inputs, outputs, 1), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(y)) + shortcut)


class Backbone(nn.Module):
    """ResNet-18-D: images [N, 3, h, w] to features [N, 8 c, h / 32, w / 32]."""

    def __init__(self, c):
        super().__init__()
        half = c // 2
        self.conv1 = nn.Sequential(convolution(3, half, 3, 2), nn.BatchNorm2d(half), nn.ReLU(), convolution(half, half),
                                   nn.BatchNorm2d(half), nn.ReLU(), convolution(half, c))
        self.bn1 = nn.BatchNorm2d(c)
        for stage in range(4):
            inputs, outputs, stride = c << max(stage - 1, 0), c << stage, 2 if stage else 1
            blocks = nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))
            setattr(self, f"layer{stage + 1}", blocks)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


def position_map(height, width, like):
    i = torch.arange(128, dtype=torch.float64)
    divisor = 10000.0 ** (2 * torch.floor(i / 2) / 128)

    def waves(n):
        angle = (torch.arange(1, n + 1, dtype=torch.float64) / (n + 1e-6) * 2 * math.pi)[:, None] / divisor
        return torch.where(i.long() % 2 == 0, angle.sin(), angle.cos())

    y = waves(height)[:, None].expand(height, width, 128)
    x = waves(width)[None].expand(height, width, 128)
    return torch.cat([y, x], -1).permute(2, 0, 1).to(like)


class Projection(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.proj = nn.Conv2d(channels, 256, 1)


class Connector(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(256, 512), nn.Linear(512, 512)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class BevEncoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.raster = c.mode == "raster"
        self.grid = c.grid
        if self.raster:
            self.perception = Backbone(c.base_channels)
            self.bev_model_mot = Projection(8 * c.base_channels)
            self.lidar_connector = Connector()
        self.measurements = nn.Sequential(nn.Linear(c.state_dim, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())
        self.init_att = nn.Sequential(nn.Linear(128, 256), nn.ReLU(), nn.Linear(256, c.grid[0] * c.grid[1]))
        self.join_ctrl = nn.Sequential(nn.Linear(640, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                                       nn.Linear(512, 256), nn.ReLU())
        self.feature_norm = nn.GroupNorm(8, 256)

    def forward(self, bev, states):
        """Rasters [B, To, 3, h, w] (normalised) or tokens [B, To, S, 512], and states [B, To, D], to [B, To, 256]."""
        batch, observed = states.shape[:2]
        bev, states = bev.flatten(0, 1), states.flatten(0, 1)
        if self.raster:
            features = self.bev_model_mot.proj(self.perception(bev))
            features = features + position_map(*features.shape[2:], features)
            bev = self.lidar_connector(features.flatten(2).transpose(1, 2))
        m = self.measurements(states)
        attention = self.init_att(m).softmax(-1)
        if bev.shape[1] != attention.shape[1]:
            side = int(round(math.sqrt(bev.shape[1])))
            grid = attention.view(-1, 1, *self.grid)
            attention = F.interpolate(grid, (side, side), mode="bilinear", align_corners=False).flatten(1).softmax(-1)
        v = (attention.unsqueeze(1) @ bev).squeeze(1)
        return self.feature_norm(self.join_ctrl(torch.cat([v, m], -1))).view(batch, observed, 256)


# --- condition encoder -----------------------------------------------------------------------------------------------


class EncoderLayer(nn.Module):
    def __init__(self, width, heads, dropout):
        super().__init__()
        self.self_attn = Attention(width, heads, dropout)
        self.linear1, self.linear2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.dropout(self.self_attn(y, y, y))
        return x + self.dropout(self.linear2(self.dropout(F.gelu(self.linear1(self.norm2(x))))))


class Stack(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)


class ConditionEncoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        e = c.width
        for kind in ("vl", "reasoning"):
            setattr(self, f"{kind}_emb_proj", nn.Linear(c.vl_emb_dim, e))
            setattr(self, f"{kind}_emb_norm", nn.LayerNorm(e))
            setattr(self, f"{kind}_pool_query", nn.Parameter(torch.randn(1, 1, e)))
            setattr(self, f"{kind}_attention_pooling", QkNormAttention(e, c.heads, c.dropout_attention))
        self.cond_obs_emb = nn.Linear(256, e)
        self.cond_pos_emb = nn.Parameter(torch.zeros(1, c.observed + 3, e))
        self.drop = nn.Dropout(c.dropout_embedding)
        self.pre_encoder_norm = nn.LayerNorm(e)
        self.encoder = Stack(EncoderLayer(e, c.heads, c.dropout_attention) for _ in range(c.condition_layers))
        self.memory_norm = nn.LayerNorm(e)
        self.memory_proj = nn.Sequential(nn.Linear(e, e), nn.GELU(), nn.Dropout(c.dropout_attention), nn.Linear(e, e))

    def forward(self, condition, vl, reasoning):
        """condition [B, To, 256], embedded tokens [B, T, vl_emb_dim]; returns the memory and the tokens as keys."""
        keys, pooled = [], []
        for kind, tokens in (("vl", vl), ("reasoning", reasoning)):
            x = getattr(self, f"{kind}_emb_norm")(getattr(self, f"{kind}_emb_proj")(tokens))
            query = getattr(self, f"{kind}_pool_query").expand(x.shape[0], -1, -1)
            pooled.append(getattr(self, f"{kind}_attention_pooling")(query, x))
            keys.append(x)
        x = torch.cat([self.cond_obs_emb(condition), *pooled], 1)
        x = self.pre_encoder_norm(self.drop(x + self.cond_pos_emb[:, : x.shape[1]]))
        for layer in self.encoder.layers:
            x = layer(x)
        n = self.memory_norm(x)
        return n + self.memory_proj(n), torch.cat(keys, 1)


# --- denoiser --------------------------------------------------------------------------------------------------------


class HistoryEncoder(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.gru = nn.GRU(inputs, width, batch_first=True)
        self.out_proj = nn.Linear(width, width)

    def forward(self, states):
        return self.out_proj(F.silu(self.gru(states)[0][:, -1]))


def modulate(x, shift, scale):
    return x * (1 + scale) + shift


class DecoderLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        e, p = c.width, c.dropout_attention
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(e, 9 * e))
        self.memory_vl_cross_attn = QkNormAttention(e, c.heads, p)
        self.traj_memory_cross_attn = QkNormAttention(e, c.heads, p)
        self.linear1, self.linear2 = nn.Linear(e, 4 * e), nn.Linear(4 * e, e)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(e), nn.LayerNorm(e), nn.LayerNorm(e)
        self.dropout = nn.Dropout(p)

    def forward(self, x, memory, keys, c, mask):
        shift1, scale1, gate1, shift2, scale2, gate2, shift3, scale3, gate3 = \
            self.adaLN_modulation(c)[:, None].chunk(9, -1)
        memory = memory + gate1 * self.memory_vl_cross_attn(modulate(self.norm1(memory), shift1, scale1), keys)
        x = x + gate2 * self.traj_memory_cross_attn(modulate(self.norm2(x), shift2, scale2), memory, mask)
        hidden = self.dropout(F.gelu(self.linear1(modulate(self.norm3(x), shift3, scale3))))
        return x + gate3 * self.linear2(hidden)


class TrajectoryHead(nn.Module):
    def __init__(self, c):
        super().__init__()
        e = c.width
        self.ln_f = nn.LayerNorm(e)
        self.drop = nn.Dropout(c.dropout_embedding)
        self.refine_gru = nn.GRU(e, e, batch_first=True)
        self.cond_proj = nn.Linear(e, e)
        self.output_head = nn.Linear(e, 2)

    def forward(self, x, c):
        u = self.drop(self.ln_f(x))
        g, _ = self.refine_gru(u, self.cond_proj(c)[None])
        return self.output_head(u + F.gelu(g))


def causal_mask(observed, horizon, like):
    """Row t sees memory columns 0, observed + 1, and 1 .. min(t + 1, observed)."""
    tokens, memory = observed + horizon, observed + 2
    mask = torch.full((tokens, memory), -math.inf)
    for t in range(tokens):
        mask[t, 0] = mask[t, observed + 1] = 0
        mask[t, 1 : min(t + 1, observed) + 1] = 0
    return mask.to(like)


class Denoiser(nn.Module):
    def __init__(self, c):
        super().__init__()
        e = c.width
        self.config = c
        self.encoder_block = ConditionEncoder(c)
        self.ego_status_proj = nn.Linear(c.state_dim, e)
        self.history_encoder = HistoryEncoder(c.state_dim, e)
        self.hist_feature_emb = nn.Linear(c.state_dim, e)
        self.hist_pos_emb = nn.Parameter(torch.zeros(1, c.observed, e))
        self.hist_segment_emb = nn.Parameter(torch.zeros(1, 1, e))
        self.input_emb = nn.Linear(2, e)
        self.pos_emb = nn.Parameter(torch.zeros(1, c.horizon, e))
        self.fut_segment_emb = nn.Parameter(torch.zeros(1, 1, e))
        self.drop = nn.Dropout(c.dropout_embedding)
        self.pre_decoder_norm = nn.LayerNorm(e)
        if c.share_decoder_layers:
            layer = DecoderLayer(c)
            self.decoder = Stack([layer] * c.layers)
        else:
            self.decoder = Stack(DecoderLayer(c) for _ in range(c.layers))
        self.trajectory_head = TrajectoryHead(c)

    def time_embedding(self, times, like):
        half = self.config.width // 2
        i = torch.arange(half, dtype=torch.float64, device=times.device)
        angle = times.double()[:, None] * torch.exp(-i * math.log(10000) / (half - 1))
        return torch.cat([angle.sin(), angle.cos()], -1).to(like)

    def forward(self, noisy, times, states, condition, vl, reasoning):
        memory, keys = self.encoder_block(condition, vl, reasoning)
        c = self.time_embedding(times, states) + self.ego_status_proj(states[:, -1]) + self.history_encoder(states)
        history = self.hist_feature_emb(states) + self.hist_pos_emb + self.hist_segment_emb
        future = self.input_emb(noisy) + self.pos_emb + self.fut_segment_emb
        x = torch.cat([self.pre_decoder_norm(self.drop(history)), self.pre_decoder_norm(self.drop(future))], 1)
        mask = causal_mask(self.config.observed, self.config.horizon, x) if self.config.causal else None
        for layer in self.decoder.layers:
            x = layer(x, memory, keys, c, mask)
        return self.trajectory_head(x, c)[:, -self.config.horizon :]


class Policy(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.obs_encoder = BevEncoder(c)
        self.feature_encoder = nn.Linear(c.vlm_dim, c.vl_emb_dim)
        self.model = Denoiser(c)

    def forward(self, bev, states, vl, reasoning, noisy, times):
        """Predicts what was added to the noisy trajectories [B, H, 2] at `times` [B]."""
        condition = self.obs_encoder(bev, states)
        return self.model(noisy, times, states, condition, self.feature_encoder(vl), self.feature_encoder(reasoning))
