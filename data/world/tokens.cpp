#include "data/world/tokens.h"

#include <array>
#include <bit>
#include <cmath>

#include "data/world/random.h"

namespace bev::world {

namespace {

using Vector = std::array<float, token_width>;
constexpr int most_values = 4;
constexpr uint64_t codebook_key = 20251128;  // of all worlds

struct Codebook {
  std::array<Vector, vl_tokens> types;
  std::array<std::array<Vector, most_values>, vl_tokens> directions;

  Codebook() {
    Random random(codebook_key, 0, Purpose::codebook);
    const auto draw = [&](Vector& vector) {
      for (float& value : vector) value = static_cast<float>(0.6 * random.normal());
    };
    for (Vector& type : types) draw(type);
    for (auto& token : directions) {
      for (Vector& direction : token) draw(direction);
    }
  }
};

const Codebook& codebook() {
  static const Codebook book;
  return book;
}

using Values = std::array<double, most_values>;

void write(int type, const Values& values, Random& random, uint16_t* out) {
  Vector sum = codebook().types[static_cast<size_t>(type)];
  for (size_t k = 0; k < values.size(); ++k) {
    const Vector& direction = codebook().directions[static_cast<size_t>(type)][k];
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<float>(values[k]) * direction[i];
  }
  for (size_t i = 0; i < sum.size(); ++i) out[i] = to_bf16(sum[i] + static_cast<float>(0.05 * random.normal()));
}

Values signal_values(const Moment& moment) {
  Values values = {};
  if (moment.signal) {
    values[static_cast<size_t>(moment.signal->light)] = 2;
    values[3] = moment.signal->distance / 25 - 1;
  }
  return values;
}

}  // namespace

uint16_t to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

Tokens make_tokens(const Drive& drive, int frame) {
  const Moment& moment = drive.moments[static_cast<size_t>(frame)];
  std::array<Values, vl_tokens> values = {};
  values[0] = signal_values(moment);
  values[1] = {(moment.limit - 9) / 3, (moment.limit_ahead - 9) / 3};
  values[2] = {moment.leader_brakes ? 1.0 : -1.0};
  Random weather(drive.route.seed, drive.route.number, Purpose::weather);
  for (size_t type = 3; type < 6; ++type) {
    for (double& value : values[type]) value = weather.normal();
  }
  Random random(drive.route.seed, drive.route.number, Purpose::tokens, static_cast<uint32_t>(frame));
  for (size_t type = 6; type < 8; ++type) {
    for (double& value : values[type]) value = random.normal();
  }
  Tokens tokens{.vl = std::vector<uint16_t>(vl_tokens * token_width),
                .reasoning = std::vector<uint16_t>(reasoning_tokens * token_width)};
  for (int type = 0; type < vl_tokens; ++type) {
    write(type, values[static_cast<size_t>(type)], random, tokens.vl.data() + type * token_width);
  }
  for (int type = 0; type < 2; ++type) {
    write(type, values[static_cast<size_t>(type)], random, tokens.reasoning.data() + type * token_width);
  }
  return tokens;
}

}  // namespace bev::world
