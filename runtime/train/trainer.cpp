#include "runtime/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/distributed/shared.h"
#include "runtime/train/validation.h"

namespace bev {

using nlohmann::ordered_json;

namespace {

Share share_of(const Replica& replica, int64_t accumulation) {
  return {.replica = replica.rank(),
          .replicas = replica.size(),
          .micro_batch = replica.config().micro_batch,
          .accumulation = accumulation};
}

/// "12, 99, 7 and 5 more"
std::string listed(const std::vector<int64_t>& numbers) {
  constexpr size_t most = 32;
  std::string out;
  for (size_t i = 0; i < std::min(most, numbers.size()); ++i) out += fmt::format("{}{}", i ? ", " : "", numbers[i]);
  if (numbers.size() > most) out += fmt::format(" and {} more", numbers.size() - most);
  return out;
}

/// The samples behind a step that is not finite: of the micro-batches whose loss was not, or, where every loss was and
/// the gradient overflowed, of all. A collective over host memory.
std::vector<int64_t> suspects(Communicator& host, const StepOutcome& outcome, int64_t micro_batch) {
  std::vector<int64_t> own = outcome.samples;
  own.push_back(outcome.bad_micro);
  std::vector<int64_t> all(own.size() * static_cast<size_t>(host.size()));
  host.all_gather(own.data(), all.data(), static_cast<int64_t>(own.size()), DType::i64, "samples of a skipped step");
  host.release_to(Stream{});
  std::vector<int64_t> guilty, every;
  for (size_t begin = 0; begin < all.size(); begin += own.size()) {
    const auto first = all.begin() + static_cast<int64_t>(begin), bad_micro = first + std::ssize(own) - 1;
    every.insert(every.end(), first, bad_micro);
    if (*bad_micro < 0) continue;
    guilty.insert(guilty.end(), first + *bad_micro * micro_batch, first + (*bad_micro + 1) * micro_batch);
  }
  return guilty.empty() ? every : guilty;
}

}  // namespace

Trainer::Trainer(Replica& replica, BatchSource& source, ValidationSource* validation, const TrainerConfig& config,
                 const FileNames& names, TrainerHooks hooks, StopRequest& stop)
    : replica_(replica),
      source_(source),
      validation_(validation),
      config_(config),
      names_(names),
      hooks_(std::move(hooks)),
      stop_(stop),
      share_(share_of(replica, config.accumulation)),
      step_(replica, source, share_) {
  state_.steps_an_epoch = source.steps_an_epoch();
  state_.global_batch = share_.global_batch();
  state_.seed = replica.config().seed;
  state_.best_metric = config.best_metric;
  state_.configuration = config.configuration;
  if (state_.steps_an_epoch < 1) {
    fail(ErrorKind::usage, "the training set has fewer samples than a global batch of {}", state_.global_batch);
  }
  config_.schedule.total_steps = config.epochs * state_.steps_an_epoch;
  if (config.profile) profile_ = std::make_unique<StepProfile>(replica, step_, config.accumulation);
  if (replica.size() > 1) {
    agreement_ = std::make_unique<ReplicaAgreement>(ReplicaAgreement::items(replica.parameters()), replica.context(),
                                                    replica.device(), replica.host());
    reduction_check_ = std::make_unique<ReductionCheck>(replica.parameters(), replica.reducer(), replica.context(),
                                                        replica.device(), replica.host());
  }
}

void Trainer::resume(const std::string& checkpoint) {
  const TrainingState old = load_checkpoint(
      checkpoint, {replica_.device(), replica_.context(), replica_.parameters(), replica_.optimizer()}, names_);
  const auto require = [&](const char* what, int64_t then, int64_t now) {
    if (then != now) {
      fail(ErrorKind::usage, "{}: it was trained with {} {}, now it is {}: the order of samples would be another",
           checkpoint, what, then, now);
    }
  };
  require("a global batch of", old.global_batch, state_.global_batch);
  require("steps an epoch of", old.steps_an_epoch, state_.steps_an_epoch);
  require("the seed", static_cast<int64_t>(old.seed), static_cast<int64_t>(state_.seed));
  state_.step = old.step;
  if (old.best_metric == state_.best_metric) {
    state_.best_value = old.best_value;
    state_.best_step = old.best_step;
    state_.validations_without_best = old.validations_without_best;
  }
  saved_step_ = old.step;
}

int64_t Trainer::steps_in_all() const {
  const int64_t all = config_.schedule.total_steps;
  return config_.max_steps > 0 ? std::min(all, config_.max_steps) : all;
}

bool Trainer::validates_after(int64_t step) const {
  return every(state_.steps_an_epoch, step) && every(config_.validate_epochs, step / state_.steps_an_epoch);
}

bool Trainer::saves_after(int64_t step) const {
  const bool epoch_ends = every(state_.steps_an_epoch, step);
  return (epoch_ends && every(config_.save_epochs, step / state_.steps_an_epoch)) || every(config_.save_steps, step);
}

/// The first step of a run, for what is wrong from the start, and those behind which weights are compared anyway.
bool Trainer::checks_gradients_after(int64_t step) const {
  if (!reduction_check_) return false;
  return step == first_step_ + 1 || step == steps_in_all() || every(config_.agreement_steps, step) ||
         validates_after(step) || saves_after(step);
}

/// A replica that fails ends the group before it gives back what it holds: to free memory of a GPU can wait for kernels
/// of its peers, which wait for this replica.
TrainingOutcome Trainer::run() {
  try {
    const TrainingOutcome out = train();
    // What the device has yet to do may need all replicas: sharded, those that write no checkpoint send their parts.
    replica_.device().synchronize(replica_.context().stream);
    return out;
  } catch (const std::exception& error) {
    replica_.gradients().abort(
        Error(ErrorKind::runtime, fmt::format("replica {} left: {}", replica_.rank(), error.what())));
    throw;
  }
}

TrainingOutcome Trainer::train() {
  // Memory, pinned memory too, was taken until here; from here on replicas wait for each other on their devices.
  if (replica_.size() > 1) replica_.host().barrier("before the first step");
  if (is_first()) {
    checkpoints_ = std::make_unique<CheckpointFolder>(config_.folder, config_.keep_checkpoints, names_);
    log_ = std::make_unique<MetricsLog>(config_.folder + "/metrics.jsonl", state_.step);
    log_->write("start", state_.step, {{"replicas", replica_.size()}, {"global_batch", state_.global_batch}});
  }
  if (agreement_) check_agreement();
  source_.seek(state_.step);
  auto end = TrainingOutcome::End::complete;
  first_step_ = state_.step;
  meter_.start();
  while (state_.step < steps_in_all()) {
    if (stop_.ends_before(state_.step, replica_.rank(), replica_.size(), step_.ahead())) {
      end = TrainingOutcome::End::asked;
      break;
    }
    if (out_of_patience()) {
      end = TrainingOutcome::End::early;
      break;
    }
    if (profile_) profile_->begin();
    const bool checked = checks_gradients_after(state_.step + 1);
    step_.enqueue(state_.step, config_.schedule.at(state_.step), checked ? reduction_check_.get() : nullptr);
    state_.step += 1;
    if (const std::string note = step_.take_note(); is_first() && !note.empty() && hooks_.note) hooks_.note(note);
    while (step_.in_flight() > step_.ahead()) collect();
    if (checked) check_step();

    const bool last = state_.step == steps_in_all();
    if (last || validates_after(state_.step)) run_validation();
    if (every(config_.agreement_steps, state_.step)) check_agreement();
    if (last || saves_after(state_.step) || state_.best_step == state_.step) save();
  }
  drain();
  if (state_.step > first_step_) save();
  report_profile();
  return {end, state_};
}

void Trainer::collect() {
  const StepOutcome outcome = step_.collect();
  if (profile_) profile_->end();
  account(outcome);
}

void Trainer::drain() {
  while (step_.in_flight() > 0) collect();
}

void Trainer::account(const StepOutcome& outcome) {
  last_numbers_ = {{"loss", outcome.loss}, {"gradient norm", outcome.gradient_norm}};
  meter_.add_step(outcome.loss, !outcome.skipped, state_.global_batch);
  if (outcome.skipped) account_skipped(outcome);
  const int64_t done = outcome.step + 1;
  if (every(config_.log_steps, done) || every(state_.steps_an_epoch, done) || done == steps_in_all()) report(outcome);
}

void Trainer::account_skipped(const StepOutcome& outcome) {
  const std::vector<int64_t> samples = suspects(replica_.host(), outcome, share_.micro_batch);
  const std::string what = fmt::format("step {}: loss {:g}, gradient norm {:g}: not finite; samples {}",
                                       outcome.step + 1, outcome.loss, outcome.gradient_norm, listed(samples));
  if (is_first()) {
    log_->write("skipped", outcome.step + 1,
                {{"loss", outcome.loss}, {"gradient_norm", outcome.gradient_norm}, {"samples", samples}});
  }
  if (config_.on_nonfinite == NonFinitePolicy::stop) fail(ErrorKind::diverged, "{}", what);
  if (outcome.skipped_so_far > config_.skips_at_most) {
    fail(ErrorKind::diverged, "{}; {} steps have been skipped, at most {} may be", what, outcome.skipped_so_far,
         config_.skips_at_most);
  }
  if (is_first()) hooks_.note(what + "; skipped");
}

void Trainer::report(const StepOutcome& outcome) {
  const Meter::Reading reading = meter_.read(source_.take_waiting_seconds());
  if (!is_first()) return;
  const int64_t done = outcome.step + 1;
  const Progress progress{.step = done,
                          .steps = steps_in_all(),
                          .epoch = outcome.step / state_.steps_an_epoch + 1,
                          .epochs = config_.epochs,
                          .loss = reading.loss,
                          .learning_rate = outcome.learning_rate,
                          .gradient_norm = outcome.gradient_norm,
                          .samples_per_second = reading.samples_per_second,
                          .waiting_share = reading.waiting_share,
                          .seconds_left = reading.seconds_a_step * static_cast<double>(steps_in_all() - done),
                          .skipped = outcome.skipped_so_far};
  log_->write("train", done,
              {{"epoch", progress.epoch},
               {"loss", progress.loss},
               {"learning_rate", progress.learning_rate},
               {"gradient_norm", progress.gradient_norm},
               {"samples_per_second", progress.samples_per_second},
               {"waiting_share", progress.waiting_share},
               {"skipped", progress.skipped}});
  if (hooks_.progress) hooks_.progress(progress);
}

void Trainer::settle_statistics() {
  if (replica_.size() == 1) return;
  average_statistics(replica_.gradients(), replica_.context(), replica_.parameters());
  replica_.optimizer().keep_statistics();
}

void Trainer::check_agreement() {
  if (!agreement_) return;
  drain();
  settle_statistics();
  agreement_->check(fmt::format("after step {}", state_.step), true);
}

/// What weights that agree do not show. Gradients, in the first step: where one replica lacks a bucket's sum, clipping
/// by the global norm spreads the difference over all weights, and only now is the tensor known that it comes from
/// (sharded, each replica has the sums of its own part alone). Their sums, which may be wrong and the same for all. And
/// what all decide by, which sharded may be another on one replica whose share of the weights all then take over.
void Trainer::check_step() {
  drain();
  const bool first = state_.step == first_step_ + 1;
  const std::string when = first ? "in the first step" : fmt::format("in step {}", state_.step);
  if (first && !replica_.reducer().sharded()) {
    ReplicaAgreement gradients(ReplicaAgreement::gradients(replica_.parameters()), replica_.context(),
                               replica_.device(), replica_.host());
    gradients.check(when, false);
  }
  reduction_check_->check(when);
  check_numbers(last_numbers_, replica_.host(), when);
}

void Trainer::run_validation() {
  if (!validation_) return;
  drain();
  meter_.pause();
  settle_statistics();
  const MetricSums sums = validate(replica_, *validation_);

  ValidationReport out{.step = state_.step, .epoch = state_.epoch()};
  ordered_json values{{"epoch", out.epoch}};
  const MetricSums::Entry* best = nullptr;
  for (const MetricSums::Entry& entry : sums.entries) {
    out.metrics.emplace_back(entry.name, entry.sum / entry.count);
    values[entry.name] = entry.sum / entry.count;
    if (entry.name == config_.best_metric) best = &entry;
  }
  if (!best) {
    fail(ErrorKind::usage, "validation gives no metric {}, by which the best checkpoint is to be chosen",
         config_.best_metric);
  }
  const double value = best->sum / best->count;
  out.is_best = std::isfinite(value) && (state_.best_step < 0 || value < state_.best_value);
  if (out.is_best) {
    state_.best_value = value;
    state_.best_step = state_.step;
    state_.validations_without_best = 0;
  } else {
    state_.validations_without_best += 1;
  }
  out.seconds = meter_.since_pause();
  if (is_first()) {
    values["seconds"] = out.seconds;
    values["best"] = out.is_best;
    log_->write("validation", state_.step, values);
    if (hooks_.validated) hooks_.validated(out);
  }
  meter_.start();
}

void Trainer::report_profile() {
  if (!profile_) return;
  const ProfileReport report = profile_->report();
  if (!is_first()) return;
  log_->write("profile", state_.step, report.json());
  hooks_.note(report.text());
}

bool Trainer::out_of_patience() const {
  return config_.patience > 0 && state_.validations_without_best >= config_.patience;
}

void Trainer::save() {
  if (saved_step_ == state_.step) return;
  drain();
  saved_step_ = state_.step;
  meter_.pause();
  settle_statistics();
  if (agreement_) agreement_->check(fmt::format("at the checkpoint of step {}", state_.step), true);
  if (is_first()) {
    const TrainedModel model{replica_.device(), replica_.context(), replica_.parameters(), replica_.optimizer()};
    const std::string path = checkpoints_->write(model, state_, state_.best_step == state_.step);
    if (hooks_.saved) hooks_.saved(path);
  } else {
    join_checkpoint(replica_.optimizer());
  }
  meter_.start();
}

}  // namespace bev
