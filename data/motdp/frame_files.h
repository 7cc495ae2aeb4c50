// The files that a sample points to: rasters, precomputed BEV tokens, vision-language tokens.
#pragma once

#include <string>
#include <vector>

#include "runtime/tensor.h"

namespace bev::motdp {

/// An 8-bit RGB (or RGBA, alpha dropped) PNG of at most 8192 x 8192 as U8 [3, H, W], planes in the order R, G, B.
/// Throws Error(ErrorKind::data) naming the file.
Tensor read_raster(const std::string& path);

/// BEV tokens of a frame, F32 [S, width]: a file of torch.save with that one tensor. Throws as above.
Tensor read_bev_tokens(const std::string& path);

struct VlTokens {
  Tensor tokens;                    // gen_vit_tokens, BF16 [Tv, width]
  std::vector<uint16_t> reasoning;  // [rows, width], BF16: the rows that the sample names, the rest zero
  int64_t width = 0;
};

/// Vision-language tokens of a sample: a file of torch.save with a dict of gen_vit_tokens, reasoning_query_tokens and
/// answer_token_indexes; the latter name the rows of reasoning_query_tokens that count, in their order, cut or padded
/// with zeros to `reasoning_rows`. Throws as above.
VlTokens read_vl_tokens(const std::string& path, int64_t reasoning_rows);

}  // namespace bev::motdp
