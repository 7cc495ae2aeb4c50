#include "runtime/ops/embedding.h"

#include "runtime/ops/residual.h"
#include "tests/gradients/cases.h"
#include "tests/support/numbers.h"

namespace bev::test {

std::vector<GradientCase> embedding_cases() {
  return {{.name = "tokens embedded and joined",
           .inputs = {{3, 2, 4}, {3, 3, 4}, {3, 1, 4}},
           .declare =
               [](ParameterStore& store) {
                 store.declare("first_position", {1, 2, 4}, Init::normal(1));
                 store.declare("first_segment", {1, 1, 4}, Init::normal(1));
                 store.declare("long_position", {1, 5, 4}, Init::normal(1));
                 store.declare("last_segment", {1, 1, 4}, Init::normal(1));
               },
           .forward =
               [](Context& c, ParameterStore& p, const auto& x) {
                 const TokenPart parts[] = {{x[0], p.find("first_position"), p.find("first_segment")},
                                            {x[1], p.find("long_position"), nullptr},
                                            {x[2], nullptr, p.find("last_segment")},
                                            {x[2], nullptr, nullptr}};
                 return embed_tokens(c, parts);
               }},
          {.name = "tokens cut out",
           .inputs = {{2, 4, 3}},
           .forward =
               [](Context& c, ParameterStore&, const auto& x) {
                 const TokenPart parts[] = {{slice_tokens(c, x[0], 1, 2)}, {slice_tokens(c, x[0], 0, 4)}};
                 return embed_tokens(c, parts);
               }},
          {.name = "columns split, with a time embedding",
           .inputs = {{2, 18}},
           .forward = [](Context& c, ParameterStore&, const auto& x) {
             const std::vector<Variable> part = split_columns(c, x[0], 3);
             const Variable late = add_time_embedding(c, part[2], constant_integers(c, {3, 97}));
             return gated_residual(c, part[0].view({2, 1, 6}), part[1], late.view({2, 1, 6}));
           }}};
}

}  // namespace bev::test
