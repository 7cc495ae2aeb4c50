#include "runtime/ops/tokens.h"
#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> token_cases() {
  const auto declare = [](ParameterStore& store) { store.declare("position", {1, 9, 4}, Init::constant(0)); };
  return {{.name = "joined tokens, with more positions than tokens",
           .inputs = {{2, 3, 4}, {2, 1, 4}, {2, 2, 4}},
           .declare = declare,
           .forward =
               [](Context& c, ParameterStore& p, const auto& x) {
                 return join_tokens(c, {x[0], x[1], x[2]}, p.find("position"));
               }},
          {.name = "joined tokens, one of them twice",
           .inputs = {{2, 3, 4}, {2, 1, 4}},
           .forward =
               [](Context& c, ParameterStore&, const auto& x) {
                 return join_tokens(c, {x[0], x[1], x[0]});
               }},
          {.name = "a parameter as input",
           .inputs = {},
           .declare = declare,
           .forward = [](Context& c, ParameterStore& p, const auto&) {
             const Variable position = as_variable(c, *p.find("position"));
             return join_tokens(c, {position}, p.find("position"));
           }}};
}

}  // namespace bev::test
