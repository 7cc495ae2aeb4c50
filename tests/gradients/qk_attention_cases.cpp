#include "tests/gradients/cases.h"
#include "tests/model/qk_attention_case.h"

namespace bev::test {

std::vector<GradientCase> qk_attention_cases() {
  std::vector<GradientCase> cases;
  for (const AttentionForm form :
       {AttentionForm::absorbed, AttentionForm::values_projected, AttentionForm::projected, AttentionForm::plain}) {
    for (const bool shared : {false, true}) {
      cases.push_back(qk_attention_case({.form = form, .shared_query = shared, .masked_keys = shared}));
      cases.push_back(
          qk_attention_case({.form = form, .dropout = 0.3, .shared_query = shared, .masked_keys = !shared}));
      cases.push_back(qk_attention_case({.form = form, .dropout = 0.3, .masks = 3, .shared_query = shared}));
    }
  }
  for (const double dropout : {0.0, 0.3}) {
    cases.push_back(qk_attention_case(
        {.form = AttentionForm::plain, .dropout = dropout, .masks = 3, .masked_keys = true, .rotary = true}));
  }
  return cases;
}

}  // namespace bev::test
