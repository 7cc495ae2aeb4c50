#include "tools/bench/export_case.h"

#include <nlohmann/json.hpp>

#include "model/policy_task.h"
#include "runtime/file/atomic_file.h"
#include "runtime/file/safetensors.h"
#include "runtime/file_layout.h"
#include "runtime/train/checkpoint_files.h"
#include "runtime/transfer.h"

namespace bev {

namespace {

void refuse_unknown(const PolicyConfig& p) {
  const auto refuse = [](bool wrong, const char* key, const char* expected) {
    if (wrong) fail(ErrorKind::usage, "{}: the PyTorch peer knows only {}", key, expected);
  };
  refuse(!p.use_vl, "policy.use_vl", "true");
  refuse(!p.use_reasoning, "policy.use_reasoning", "true");
  refuse(p.mask_padding, "policy.mask_padding", "false");
  refuse(p.normalize_state, "data.normalize_state", "false");
  refuse(p.freeze_backbone, "bev_encoder.freeze_backbone", "false");
}

nlohmann::json describe_case(const BenchCase& bench) {
  const PolicyConfig& p = bench.run.policy;
  const OptimizerConfig& o = bench.run.optimizer;
  return {{"batch", bench.batch},
          {"policy",
           {{"mode", p.mode == BevMode::raster ? "raster" : "tokens"},
            {"observed", p.observed},
            {"horizon", p.horizon},
            {"state_dim", p.state_dim},
            {"vl_tokens", p.vl_tokens},
            {"reasoning_tokens", p.reasoning_tokens},
            {"vlm_dim", p.vlm_dim},
            {"vl_emb_dim", p.vl_emb_dim},
            {"grid", {p.bev_input_size[0] / 32, p.bev_input_size[1] / 32}},
            {"base_channels", p.base_channels},
            {"width", p.width},
            {"heads", p.heads},
            {"layers", p.layers},
            {"condition_layers", p.condition_layers},
            {"dropout_embedding", p.dropout_embedding},
            {"dropout_attention", p.dropout_attention},
            {"causal", p.causal},
            {"share_decoder_layers", p.share_decoder_layers}}},
          {"optimizer",
           {{"learning_rate", bench.run.learning_rate},
            {"betas", bench.run.betas},
            {"epsilon", o.epsilon},
            {"weight_decay", o.weight_decay},
            {"max_gradient_norm", o.max_gradient_norm}}}};
}

/// A parameter's tensor in host memory, in the order and shape of files.
Tensor filed(Replica& replica, const Parameter& parameter, const Tensor& tensor) {
  const Tensor host = to_host(replica.device(), replica.context().stream, tensor);
  const std::shared_ptr<void> memory = plain_host_memory()(host.bytes());
  const Tensor out(memory, parameter.file_shape(), DType::f32);
  const auto n = static_cast<size_t>(host.size());
  to_file_layout<float>(parameter, {host.data<float>(), n}, {out.data<float>(), n});
  return out;
}

}  // namespace

void export_case(const BenchCase& asked, const std::string& folder) {
  refuse_unknown(asked.run.policy);
  make_directory(folder);
  write_text_file(folder + "/case.json", describe_case(asked).dump(2) + "\n");

  BenchCase bench = asked;
  bench.floating_raster = true;
  bench.run.augment = false;
  bench.run.policy.dropout_attention = bench.run.policy.dropout_embedding = 0;
  with_replica(bench, [&](Replica& replica) {
    Context& context = replica.context();
    const auto batches = make_batches(bench, replica);
    const Batch& host = batches->next();
    const Batch& batch = replica.inputs().stage(host);
    const Policy& policy = dynamic_cast<PolicyTask&>(replica.task()).policy();

    std::vector<NamedTensor> weights;
    for (const auto& parameter : replica.parameters().all()) {
      if (parameter->in_files) weights.push_back({parameter->name, filed(replica, *parameter, parameter->value)});
    }
    write_safetensors(folder + "/model.safetensors", weights, {});

    context.restart_random_places();
    context.tape.begin(replica.parameters(), false);
    const Observation observation = observation_of(batch, bench.run.policy);
    const DiffusionDraw draw = policy.diffusion().draw(context, batch.size);
    const NoisyTrajectories trajectories = policy.diffusion().add_noise(context, batch.at("agent_pos"), draw);
    const Variable loss = policy.loss(context, observation, batch.at("agent_pos"), draw);
    context.tape.backward(loss, [&](const Tensor& seed, bool) {
      const float one = 1;
      write_to_device(replica.device(), context.stream, seed.raw(), &one, sizeof one);
    });

    const auto download = [&](const Tensor& tensor) { return to_host(replica.device(), context.stream, tensor); };
    std::vector<NamedTensor> inputs = {{"noisy", download(trajectories.noisy)},
                                       {"target", download(trajectories.target)},
                                       {"times", download(draw.times)}};
    for (const Batch::Field& field : host.fields) {
      const bool is_bev = field.name == "lidar_bev" || field.name == "lidar_token";
      inputs.push_back({is_bev ? "bev" : field.name, field.value});
    }
    write_safetensors(folder + "/batch.safetensors", inputs, {});

    std::vector<NamedTensor> expected = {{"loss", download(loss.value())}};
    for (const Parameter* parameter : replica.parameters().trained()) {
      expected.push_back({"gradient." + parameter->name, filed(replica, *parameter, parameter->gradient)});
    }
    write_safetensors(folder + "/expected.safetensors", expected, {});
    replica.inputs().release();
  });
}

}  // namespace bev
