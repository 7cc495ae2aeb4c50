#include "runtime/ops/convolution.h"
#include "tests/gradients/cases.h"

namespace bev::test {

std::vector<GradientCase> convolution_cases() {
  struct Form {
    const char* name;
    Shape x, filter;  // [n, h, w, c], [k, r, s, c]
    int64_t stride, padding;
  };
  std::vector<GradientCase> cases;
  for (const Form& form :
       {Form{"3x3", {2, 4, 5, 3}, {4, 3, 3, 3}, 1, 1}, Form{"3x3, stride 2", {2, 5, 4, 2}, {3, 3, 3, 2}, 2, 1},
        Form{"3x3, stride 2, channels that the filter ignores", {2, 4, 4, 4}, {3, 3, 3, 3}, 2, 1},
        Form{"1x1", {2, 3, 2, 4}, {5, 1, 1, 4}, 1, 0}}) {
    cases.push_back(
        {.name = fmt::format("convolution {}", form.name),
         .inputs = {form.x},
         .declare =
             [=](ParameterStore& store) { store.declare("filter", form.filter, Init::normal(1), FileLayout::filter); },
         .forward = [=](Context& c, ParameterStore& p,
                        const auto& x) { return convolution(c, x[0], *p.find("filter"), form.stride, form.padding); }});
  }
  return cases;
}

}  // namespace bev::test
