#include "tools/common/devices.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "runtime/error.h"

namespace bev {

namespace {

int ordinal_of(std::string_view text, const std::string& argument) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    fail(ErrorKind::usage, "{}: expected numbers such as 0-7 or 0,2,5, or all", argument);
  }
  return value;
}

void require_present(const std::vector<int>& gpus, int count) {
  for (const int gpu : gpus) {
    if (gpu >= count) {
      fail(ErrorKind::usage, "GPU {} was asked for, but there are {}: 0 to {}", gpu, count, count - 1);
    }
  }
}

DeviceChoice on_gpus(std::vector<int> gpus, const CudaSurvey& survey) {
  require_present(gpus, survey.count);
  return {.gpus = std::move(gpus), .cpu_replicas = 0};
}

}  // namespace

std::string DeviceChoice::text() const {
  if (gpus.empty()) return cpu_replicas == 1 ? "the CPU" : fmt::format("{} replicas on the CPU", cpu_replicas);
  std::string out;
  for (const int gpu : gpus) out += fmt::format("{}cuda:{}", out.empty() ? "" : ", ", gpu);
  return out;
}

std::vector<int> parse_gpus(const std::string& text, int count, const std::string& option) {
  const std::string argument = option + text;
  std::vector<int> out;
  if (text == "all") {
    for (int i = 0; i < count; ++i) out.push_back(i);
    return out;
  }
  for (size_t start = 0; start <= text.size();) {
    const size_t comma = std::min(text.find(',', start), text.size());
    const std::string_view part = std::string_view(text).substr(start, comma - start);
    const size_t dash = part.find('-');
    const int first = ordinal_of(part.substr(0, dash), argument);
    const int last = dash == std::string_view::npos ? first : ordinal_of(part.substr(dash + 1), argument);
    if (last < first) fail(ErrorKind::usage, "{}: {}-{} counts backwards", argument, first, last);
    for (int i = first; i <= last; ++i) out.push_back(i);
    start = comma + 1;
  }
  return out;
}

DeviceChoice choose_devices(const DeviceRequest& request, const std::vector<int>& configured,
                            const std::function<void(const std::string&)>& note) {
  if (!request.gpus.empty() && !request.device.empty()) {
    fail(ErrorKind::usage, "--gpus {} and --device {}: give one of them", request.gpus, request.device);
  }
  if (request.replicas < 0 || request.replicas > 64) {
    fail(ErrorKind::usage, "--replicas {}: expected 1 to 64", request.replicas);
  }
  const CudaSurvey survey = survey_cuda();
  const bool gpu_asked = !request.gpus.empty() || request.device.starts_with("cuda");
  if (gpu_asked && survey.count == 0) {
    fail(ErrorKind::usage, "{} was asked for, but there is no usable GPU: {}; --device cpu trains without",
         request.gpus.empty() ? request.device : "--gpus " + request.gpus, survey.reason);
  }
  if (gpu_asked && request.replicas > 0) {
    fail(ErrorKind::usage, "--replicas is for the CPU: on GPUs name one several times, as in --gpus 0,0");
  }
  if (!request.gpus.empty()) return on_gpus(parse_gpus(request.gpus, survey.count), survey);
  if (request.device.starts_with("cuda:")) {
    return on_gpus(parse_gpus(request.device.substr(5), survey.count, "--device cuda:"), survey);
  }
  if (!request.device.empty() && request.device != "cpu") {
    fail(ErrorKind::usage, "--device {}: expected cpu or cuda:N", request.device);
  }
  if (request.device.empty() && request.replicas == 0 && survey.count > 0 && !configured.empty()) {
    return on_gpus(configured, survey);
  }
  if (request.device.empty())
    note("training on the CPU: " + (survey.count > 0 ? "no GPU was asked for" : survey.reason));
  return {.gpus = {}, .cpu_replicas = std::max(1, request.replicas)};
}

Precision precision_on(const DeviceChoice& choice, const RuntimeConfig& runtime) {
  if (!choice.gpus.empty()) return runtime.precision;
  const bool asked_for = runtime.precision == Precision::bf16 && !runtime.bf16_where_it_gains;
  return asked_for || cpu_multiplies_faster_at(runtime.precision) ? runtime.precision : Precision::fp32;
}

std::unique_ptr<Device> make_device(const DeviceChoice& choice, int rank, const RuntimeConfig& runtime) {
  const Precision precision = precision_on(choice, runtime);
  if (choice.gpus.empty()) return make_cpu_device(precision);
  return make_cuda_device(choice.gpus[static_cast<size_t>(rank)],
                          {.precision = precision, .cache_directory = runtime.autotune_cache});
}

std::shared_ptr<Rendezvous> meet(const DeviceChoice& choice, const std::string& label) {
  const std::set<int> different(choice.gpus.begin(), choice.gpus.end());
  const bool each_its_own = different.size() == choice.gpus.size();
  if (choice.replicas() == 1 || choice.gpus.empty() || !each_its_own) return meet_by_threads(choice.replicas(), label);
  return meet_by_nccl(choice.replicas(), label);
}

}  // namespace bev
