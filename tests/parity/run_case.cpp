#include "tests/parity/run_case.h"

#include <algorithm>

#include "tests/parity/fill.h"
#include "tests/parity/limits.h"
#include "tests/parity/machine.h"
#include "tests/support/rounded_engines.h"

namespace bev::parity {

namespace {

/// The inputs of one step of a case, made by the rule.
class Inputs {
 public:
  Inputs(Machine& machine, const Case& test, int64_t step)
      : machine_(machine), case_(test), suffix_(step > 0 ? fmt::format(".{}", step) : ""), step_(step) {}

  Tensor fill(const std::string& name, const Shape& shape, double factor) const {
    return machine_.upload(fill_input("input." + name + suffix_, shape.elements(), factor), shape);
  }
  Tensor trajectory(const std::string& name, double factor) const {
    return fill(name, {case_.batch, case_.policy.horizon, 2}, factor);
  }

  Observation observation() const {
    const PolicyConfig& p = case_.policy;
    Observation out;
    out.states = fill("ego_status", {case_.batch, p.observed, p.state_dim}, 1);
    if (p.mode == BevMode::raster) {
      out.bev = fill("lidar_bev", {case_.batch, p.observed, 3, p.bev_input_size[0], p.bev_input_size[1]}, 1.5);
    } else {
      out.bev = fill("lidar_token", {case_.batch, p.observed, p.cells, 512}, 1);
    }
    out.tokens.vl = fill("gen_vit_tokens", {case_.batch, p.vl_tokens, p.vlm_dim}, 1);
    out.tokens.reasoning = reasoning();
    if (case_.given_masks) {
      out.tokens.vl_valid = mask("given.vl_valid");
      out.tokens.reasoning_valid = mask("given.reasoning_valid");
    }
    return out;
  }

  DiffusionDraw draw() const {
    std::vector<int64_t> times;
    for (int64_t sample = 0; sample < case_.batch; ++sample) times.push_back(case_.time(sample, step_));
    return {.times = machine_.upload(times), .noise = trajectory("noise", 1.7)};
  }

 private:
  Tensor reasoning() const {
    const PolicyConfig& p = case_.policy;
    const Shape shape{case_.batch, p.reasoning_tokens, p.vlm_dim};
    std::vector<double> values = fill_input("input.reasoning_query_tokens" + suffix_, shape.elements(), 1);
    if (p.mask_padding) {
      for (int64_t sample = 0; sample < case_.batch; ++sample) {
        const int64_t zero = std::min(p.reasoning_tokens, case_.padded_rows + 3 * sample);
        const auto end = values.begin() + (sample + 1) * p.reasoning_tokens * p.vlm_dim;
        std::fill(end - zero * p.vlm_dim, end, 0.0);
      }
    }
    return machine_.upload(values, shape);
  }

  Tensor mask(const std::string& name) const {
    const Tensor given = case_.file.tensor(name);
    std::vector<uint8_t> valid;
    for (int64_t i = 0; i < given.size(); ++i) {
      valid.push_back(given.dtype() == DType::i64 ? given.data<int64_t>()[i] != 0 : given.data<double>()[i] != 0);
    }
    return machine_.upload(valid, given.shape());
  }

  Machine& machine_;
  const Case& case_;
  std::string suffix_;
  int64_t step_;
};

/// One forward and backward; the trace of the forward.
struct Step {
  PolicyTrace trace;
  double loss;
};

Step forward_backward(Machine& machine, const Case& test, int64_t step) {
  Context& context = machine.context();
  const Inputs inputs(machine, test, step);
  context.training = test.training;
  context.tape.begin(machine.store(), false);
  context.restart_random_places();
  Step out;
  const Variable loss = machine.policy().loss(context, inputs.observation(), inputs.trajectory("agent_pos", 10),
                                              inputs.draw(), &out.trace);
  out.loss = machine.download(loss.value())[0];
  context.tape.backward(loss, [&](const Tensor& seed, bool) {
    const Tensor one = machine.upload(std::vector<double>{1}, {1});
    machine.device().copy(context.stream, seed.raw(), one.raw(), seed.bytes());
  });
  return out;
}

std::vector<Parameter*> trainable(const ParameterStore& store) {
  std::vector<Parameter*> out;
  for (const auto& parameter : store.all()) {
    if (parameter->trainable) out.push_back(parameter.get());
  }
  return out;
}

void check_buffers(Machine& machine, Checker& checker) {
  for (const auto& parameter : machine.store().all()) {
    if (parameter->is_buffer && parameter->in_files) {
      checker.check("buffer", parameter->name, machine.download_filed(*parameter, parameter->value));
    }
  }
}

void run_loss(Machine& machine, const Case& test, Checker& checker) {
  machine.allocate(trainable(machine.store()));
  const Tensor given = test.file.tensor("given.timesteps");
  for (int64_t sample = 0; sample < test.batch; ++sample) {
    if (given.data<int64_t>()[sample] != test.time(sample, 0)) {
      fail(ErrorKind::data, "{}: given.timesteps does not follow the rule", test.file.path());
    }
  }
  const Step step = forward_backward(machine, test, 0);
  checker.check("loss", {step.loss});
  checker.check("pred", machine.download(step.trace.prediction));
  checker.check("mid", "condition", machine.download(step.trace.condition));
  checker.check("mid", "memory", machine.download(step.trace.memory));
  checker.check("mid", "decoded", machine.download(step.trace.decoded));
  for (const auto& parameter : machine.store().all()) {
    if (!parameter->gradient_written) continue;
    checker.check("grad", parameter->name, machine.download_filed(*parameter, parameter->gradient));
  }
  check_buffers(machine, checker);
}

void run_train(Machine& machine, const Case& test, Checker& checker) {
  // Only what a gradient reaches is trained; which that is, a first backward tells.
  std::vector<Parameter*> order;
  machine.allocate(trainable(machine.store()));
  machine.context().tape.set_gradient_ready([&](Parameter& parameter) { order.push_back(&parameter); });
  forward_backward(machine, test, 0);
  machine.context().tape.set_gradient_ready(nullptr);
  machine.allocate(order);

  OptimizerConfig config;
  config.weight_decay = test.weight_decay;
  config.max_gradient_norm = test.max_gradient_norm;
  Optimizer optimizer(machine.store(), machine.context(), machine.device(), config);
  std::vector<double> losses, norms;
  for (int64_t n = 0; n < test.steps; ++n) {
    StepState state;
    state.step = n;
    state.learning_rate = test.learning_rate;
    machine.set_state(state);
    losses.push_back(forward_backward(machine, test, n).loss);
    optimizer.step();
    UpdateState seen;
    machine.device().copy(machine.context().stream, &seen, optimizer.update(), sizeof seen);
    machine.device().synchronize(machine.context().stream);
    norms.push_back(seen.gradient_norm);
  }
  checker.check("losses", losses);
  checker.check("grad_norms", norms);
  const auto check_all = [&](const char* kind) {
    for (const auto& parameter : machine.store().all()) {
      if (parameter->is_buffer) continue;
      checker.check(kind, parameter->name, machine.download_filed(*parameter, parameter->value));
    }
  };
  check_all("param");
  optimizer.use_average(true);
  check_all("ema");
  optimizer.use_average(false);
  check_buffers(machine, checker);
}

void run_sample(Machine& machine, const Case& test, Checker& checker) {
  machine.allocate(trainable(machine.store()));
  Context& context = machine.context();
  context.tape.set_recording(false);
  context.training = false;
  const Inputs inputs(machine, test, 0);
  const Tensor x = inputs.trajectory("initial_noise", 1.7);
  const auto steps =
      sampler_steps(test.policy.diffusion, test.ddim ? SamplerKind::ddim : SamplerKind::ddpm, test.inference_steps);
  machine.policy().sample(context, inputs.observation(), steps, x,
                          [&](int64_t n) { return inputs.trajectory(fmt::format("step_noise.{}", n), 1.7); });
  checker.check("sample", machine.download(x));
  checker.check("trajectory", machine.download(machine.policy().diffusion().metres(context, x)));
}

/// How far a machine's results are from what the case expects.
std::map<std::string, Found> run(Machine& machine, const Case& test, Numbers numbers) {
  Checker checker(test, numbers);
  switch (test.kind) {
    case CaseKind::loss:
      run_loss(machine, test, checker);
      break;
    case CaseKind::train:
      run_train(machine, test, checker);
      break;
    case CaseKind::sample:
      run_sample(machine, test, checker);
      break;
  }
  return checker.finish();
}

/// On the CPU with factors rounded beforehand as the device of `options` rounds them: the CPU's convolutions none, a
/// GPU's to TF32.
std::map<std::string, Found> run_rounded(const Case& test, const RunOptions& options, test::Tf32Factors tf32) {
  const Precision products = options.numbers == Numbers::tf32 ? Precision::tf32 : Precision::bf16;
  const Precision convolutions = options.device == "cpu" ? Precision::fp32 : Precision::tf32;
  Machine machine(test, {.numbers = Numbers::f32, .plain = options.plain},
                  {test::make_rounded_matmul(products, tf32), test::make_rounded_convolution(convolutions, tf32)});
  return run(machine, test, options.numbers);
}

/// What rounding makes of a case. A GPU that computes in TF32 may round either way, a CPU loses less.
ByRounding by_rounding(const Case& test, const RunOptions& options) {
  ByRounding out;
  out.most = run_rounded(test, options, test::Tf32Factors::nearest);
  if (options.device == "cpu" && options.numbers == Numbers::tf32) return out;
  out.least = out.most;
  if (options.device == "cpu") return out;
  for (const auto& [entry, cut_off] : run_rounded(test, options, test::Tf32Factors::cut_off)) {
    Found& most = out.most[entry];
    if (!(cut_off.error <= most.error)) most = cut_off;
  }
  return out;
}

}  // namespace

bool run_case(const std::string& path, const RunOptions& options, BesideRounding& beside) {
  const Case test = read_case(path);
  Engines engines;
  if (options.fault != test::Fault::none) engines = {test::make_faulty_matmul(options.fault), make_cpu_convolution()};
  std::map<std::string, Found> found;
  {
    Machine machine(test, options, engines);
    found = run(machine, test, options.numbers);
  }
  if (options.numbers == Numbers::bf16 || options.numbers == Numbers::tf32) {
    return beside.judge(test, found, by_rounding(test, options), options.verbose);
  }
  return within_limits(test, options.numbers, found, options.verbose);
}

}  // namespace bev::parity
