// All gradient cases, one function per file of this folder. To add an op or layer: write `std::vector<GradientCase>
// NAME_cases()` in a file here, declare it below and add it to all_cases().
#pragma once

#include <vector>

#include "tests/support/gradient_check.h"

namespace bev::test {

std::vector<GradientCase> linear_cases();
std::vector<GradientCase> layer_norm_cases();
std::vector<GradientCase> head_norm_cases();
std::vector<GradientCase> few_key_attention_cases();
std::vector<GradientCase> activation_cases();
std::vector<GradientCase> many_key_attention_cases();
std::vector<GradientCase> token_cases();
std::vector<GradientCase> qk_attention_cases();
std::vector<GradientCase> condition_encoder_cases();
std::vector<GradientCase> gru_cases();
std::vector<GradientCase> residual_cases();
std::vector<GradientCase> embedding_cases();
std::vector<GradientCase> group_norm_cases();
std::vector<GradientCase> cell_attention_cases();
std::vector<GradientCase> convolution_cases();
std::vector<GradientCase> batch_norm_cases();
std::vector<GradientCase> pool_cases();
std::vector<GradientCase> backbone_cases();
std::vector<GradientCase> bev_encoder_cases();
std::vector<GradientCase> residual_norm_cases();
std::vector<GradientCase> denoiser_cases();

inline std::vector<GradientCase> all_cases() {
  std::vector<GradientCase> all;
  for (auto* cases : {
           linear_cases,
           layer_norm_cases,
           head_norm_cases,
           few_key_attention_cases,
           activation_cases,
           many_key_attention_cases,
           token_cases,
           qk_attention_cases,
           condition_encoder_cases,
           gru_cases,
           residual_cases,
           embedding_cases,
           group_norm_cases,
           cell_attention_cases,
           convolution_cases,
           batch_norm_cases,
           pool_cases,
           backbone_cases,
           bev_encoder_cases,
           residual_norm_cases,
           denoiser_cases,
       }) {
    for (GradientCase& test : cases()) all.push_back(std::move(test));
  }
  return all;
}

}  // namespace bev::test
