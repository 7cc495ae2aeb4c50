#include "tools/common/batch_fields.h"

namespace bev {

std::vector<FieldSpec> fields_of(const PolicyConfig& p, DType dtype, bool floating_raster) {
  std::vector<FieldSpec> out = {{"ego_status", dtype, {p.observed, p.state_dim}}, {"agent_pos", dtype, {p.horizon, 2}}};
  if (p.mode == BevMode::raster) {
    out.push_back(
        {"lidar_bev", floating_raster ? dtype : DType::u8, {p.observed, 3, p.bev_input_size[0], p.bev_input_size[1]}});
  } else {
    out.push_back({"lidar_token", dtype, {p.observed, p.cells, 512}});
  }
  if (p.use_vl) out.push_back({"gen_vit_tokens", DType::bf16, {p.vl_tokens, p.vlm_dim}});
  if (p.use_reasoning) out.push_back({"reasoning_query_tokens", DType::bf16, {p.reasoning_tokens, p.vlm_dim}});
  return out;
}

}  // namespace bev
