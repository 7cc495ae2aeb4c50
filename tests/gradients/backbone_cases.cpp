#include "model/backbone.h"

#include "tests/gradients/cases.h"

namespace bev::test {

// The whole backbone has too many kinks for differences: parity cases compare its gradients with the reference's.
std::vector<GradientCase> backbone_cases() {
  struct Form {
    const char* name;
    int64_t in, out, stride;
  };
  std::vector<GradientCase> cases;
  for (const Form& form : {Form{"basic block", 3, 3, 1}, Form{"basic block, stride 2", 3, 4, 2}}) {
    const auto block = std::make_shared<std::unique_ptr<BasicBlock>>();
    cases.push_back({.name = form.name,
                     .inputs = {{2, 4, 4, form.in}},
                     .declare =
                         [=](ParameterStore& store) {
                           *block = std::make_unique<BasicBlock>(store, "block", form.in, form.out, form.stride,
                                                                 BackboneOptions{});
                         },
                     .forward = [=](Context& c, ParameterStore&, const auto& x) { return (**block)(c, x[0]); },
                     .step = 1e-5});
  }
  return cases;
}

}  // namespace bev::test
