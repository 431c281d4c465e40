// Group normalization, its scale and shift and SiLU in one operation, for images with channels last.
//
//   u = (x - mean) rstd gamma + beta,   y = u sigmoid(u)      mean, rstd: of an image's group of channels
//
// libtorch's own kernels read and write the image five times for this; here it stays in the cache of one core.
#include "../shim.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/silu.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <numeric>

#include "parallel.h"
#include "vector.h"

namespace {

using at::Tensor;
using fewstep::all;
using fewstep::Lanes;
using fewstep::LANES;
using fewstep::load;
using fewstep::store;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Pixels summed in single precision before the sums go on in double.
constexpr int64_t RUN = 64;

struct Shape {
  int64_t images, channels, pixels, groups;
  int64_t width() const { return channels / groups; }
};

// A block of channels of one image: whole vectors and whole groups.
struct Block {
  int64_t image, first, last;
};

// What the loops over pixels know about a channel.
struct Lines {
  std::vector<float> factor, offset, mean;
  explicit Lines(int64_t channels) : factor(channels), offset(channels), mean(channels) {}
};

FEWSTEP_CLONES void sum_pixels(const float* x, int64_t stride, int64_t pixels, int64_t channels, double* sums) {
  for (int64_t c = 0; c < channels; c += LANES) {
    for (int64_t start = 0; start < pixels; start += RUN) {
      Lanes sum{};
      for (int64_t p = start; p < std::min(start + RUN, pixels); ++p) sum += load(x + p * stride + c);
      for (int64_t lane = 0; lane < LANES; ++lane) sums[c + lane] += sum[lane];
    }
  }
}

FEWSTEP_CLONES void sum_squares(const float* x, int64_t stride, int64_t pixels, int64_t channels, const float* mean,
                                double* sums) {
  for (int64_t c = 0; c < channels; c += LANES) {
    const Lanes centre = load(mean + c);
    for (int64_t start = 0; start < pixels; start += RUN) {
      Lanes sum{};
      for (int64_t p = start; p < std::min(start + RUN, pixels); ++p) {
        const Lanes d = load(x + p * stride + c) - centre;
        sum += d * d;
      }
      for (int64_t lane = 0; lane < LANES; ++lane) sums[c + lane] += sum[lane];
    }
  }
}

template <bool SILU>
static FEWSTEP_INLINE void normalize(const float* x, int64_t stride, int64_t pixels, int64_t channels, const float* factor,
                                     const float* offset, float* y) {
  for (int64_t p = 0; p < pixels; ++p) {
    for (int64_t c = 0; c < channels; c += LANES) {
      const Lanes u = load(x + p * stride + c) * load(factor + c) + load(offset + c);
      store(y + p * stride + c, SILU ? u * fewstep::sigmoid(u) : u);
    }
  }
}
FEWSTEP_CLONES void normalize_plain(const float* x, int64_t stride, int64_t pixels, int64_t channels, const float* factor,
                                    const float* offset, float* y) {
  normalize<false>(x, stride, pixels, channels, factor, offset, y);
}
FEWSTEP_CLONES void normalize_silu(const float* x, int64_t stride, int64_t pixels, int64_t channels, const float* factor,
                                   const float* offset, float* y) {
  normalize<true>(x, stride, pixels, channels, factor, offset, y);
}

// The gradient with respect to u goes to `du`; its sums, plain and times (x - mean), are returned per channel.
template <bool SILU>
static FEWSTEP_INLINE void differentiate(const float* x, const float* g, int64_t stride, int64_t pixels, int64_t channels,
                                         const float* factor, const float* offset, const float* mean, float* du,
                                         double* sums, double* moments) {
  for (int64_t c = 0; c < channels; c += LANES) {
    const Lanes f = load(factor + c), o = load(offset + c), m = load(mean + c);
    for (int64_t start = 0; start < pixels; start += RUN) {
      Lanes sum{}, moment{};
      for (int64_t p = start; p < std::min(start + RUN, pixels); ++p) {
        const Lanes value = load(x + p * stride + c);
        Lanes d = load(g + p * stride + c);
        if (SILU) {
          const Lanes u = value * f + o, s = fewstep::sigmoid(u);
          d *= s * (1.0f + u * (1.0f - s));
        }
        store(du + p * stride + c, d);
        sum += d;
        moment += d * (value - m);
      }
      for (int64_t lane = 0; lane < LANES; ++lane) {
        sums[c + lane] += sum[lane];
        moments[c + lane] += moment[lane];
      }
    }
  }
}
FEWSTEP_CLONES void differentiate_plain(const float* x, const float* g, int64_t stride, int64_t pixels, int64_t channels,
                                        const float* factor, const float* offset, const float* mean, float* du,
                                        double* sums, double* moments) {
  differentiate<false>(x, g, stride, pixels, channels, factor, offset, mean, du, sums, moments);
}
FEWSTEP_CLONES void differentiate_silu(const float* x, const float* g, int64_t stride, int64_t pixels, int64_t channels,
                                       const float* factor, const float* offset, const float* mean, float* du,
                                       double* sums, double* moments) {
  differentiate<true>(x, g, stride, pixels, channels, factor, offset, mean, du, sums, moments);
}

// dx = du factor + (x - mean) slope + constant, in place of du.
FEWSTEP_CLONES void finish_gradient(const float* x, int64_t stride, int64_t pixels, int64_t channels, const float* factor,
                                    const float* mean, const float* slope, const float* constant, float* du) {
  for (int64_t p = 0; p < pixels; ++p) {
    for (int64_t c = 0; c < channels; c += LANES) {
      const int64_t at = p * stride + c;
      const Lanes centred = load(x + at) - load(mean + c);
      store(du + at, load(du + at) * load(factor + c) + centred * load(slope + c) + load(constant + c));
    }
  }
}

// Calls `body` with every image, or with parts of images if there are fewer images than threads.
void over_blocks(const Shape& shape, const std::function<void(const Block&)>& body) {
  const int64_t unit = std::lcm(LANES, shape.width()), threads = at::get_num_threads();
  const int64_t wanted = std::max<int64_t>(1, threads / shape.images);
  const int64_t block = (shape.channels / unit + wanted - 1) / wanted * unit;
  const int64_t per_image = (shape.channels + block - 1) / block;
  fewstep::parallel(shape.images * per_image, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t start = i % per_image * block;
      body({i / per_image, start, std::min(start + block, shape.channels)});
    }
  });
}

// Factor and offset of every channel of a block from the means and reciprocal deviations of its groups.
void fill_lines(const Shape& shape, const Block& block, const float* gamma, const float* beta, const float* mean,
                const float* rstd, Lines& lines) {
  for (int64_t c = block.first; c < block.last; ++c) {
    const int64_t group = c / shape.width(), i = c - block.first;
    lines.mean[i] = mean[group];
    lines.factor[i] = rstd[group] * gamma[c];
    lines.offset[i] = beta[c] - mean[group] * lines.factor[i];
  }
}

void group_sums(const Shape& shape, const Block& block, const std::vector<double>& sums, std::vector<double>& by_group) {
  std::fill(by_group.begin(), by_group.end(), 0.0);
  for (int64_t c = block.first; c < block.last; ++c) by_group[c / shape.width()] += sums[c - block.first];
}

void forward_block(const Shape& shape, const Block& block, double eps, bool silu, const float* x, const float* gamma,
                   const float* beta, float* y, float* mean, float* rstd) {
  const int64_t channels = block.last - block.first, width = shape.width();
  const int64_t at = block.image * shape.pixels * shape.channels + block.first;
  const double count = static_cast<double>(shape.pixels * width);
  std::vector<double> sums(channels), by_group(shape.groups);
  Lines lines(channels);
  sum_pixels(x + at, shape.channels, shape.pixels, channels, sums.data());
  group_sums(shape, block, sums, by_group);
  for (int64_t group = block.first / width; group < block.last / width; ++group)
    mean[group] = static_cast<float>(by_group[group] / count);
  for (int64_t c = 0; c < channels; ++c) lines.mean[c] = mean[(block.first + c) / width];
  std::fill(sums.begin(), sums.end(), 0.0);
  sum_squares(x + at, shape.channels, shape.pixels, channels, lines.mean.data(), sums.data());
  group_sums(shape, block, sums, by_group);
  for (int64_t group = block.first / width; group < block.last / width; ++group)
    rstd[group] = static_cast<float>(1.0 / std::sqrt(by_group[group] / count + eps));
  fill_lines(shape, block, gamma, beta, mean, rstd, lines);
  (silu ? normalize_silu : normalize_plain)(x + at, shape.channels, shape.pixels, channels, lines.factor.data(),
                                            lines.offset.data(), y + at);
}

void backward_block(const Shape& shape, const Block& block, bool silu, const float* x, const float* g, const float* gamma,
                    const float* beta, const float* mean, const float* rstd, float* dx, float* dgamma, float* dbeta) {
  const int64_t channels = block.last - block.first, width = shape.width();
  const int64_t at = block.image * shape.pixels * shape.channels + block.first;
  const double count = static_cast<double>(shape.pixels * width);
  std::vector<double> sums(channels), moments(channels), group_sum(shape.groups), group_moment(shape.groups);
  Lines lines(channels);
  fill_lines(shape, block, gamma, beta, mean, rstd, lines);
  (silu ? differentiate_silu : differentiate_plain)(x + at, g + at, shape.channels, shape.pixels, channels,
                                                    lines.factor.data(), lines.offset.data(), lines.mean.data(), dx + at,
                                                    sums.data(), moments.data());
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t channel = block.first + c, group = channel / width;
    dgamma[channel] = static_cast<float>(moments[c] * rstd[group]);
    dbeta[channel] = static_cast<float>(sums[c]);
    group_sum[group] += sums[c] * gamma[channel];
    group_moment[group] += moments[c] * gamma[channel];
  }
  std::vector<float> slope(channels), constant(channels);
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t group = (block.first + c) / width;
    const double r = rstd[group];
    slope[c] = static_cast<float>(-group_moment[group] * r * r * r / count);
    constant[c] = static_cast<float>(-group_sum[group] * r / count);
  }
  finish_gradient(x + at, shape.channels, shape.pixels, channels, lines.factor.data(), lines.mean.data(), slope.data(),
                  constant.data(), dx + at);
}

Shape shape_of(const Tensor& x, int64_t groups) { return {x.size(0), x.size(1), x.size(2) * x.size(3), groups}; }

Tensor composed(const Tensor& x, int64_t groups, const Tensor& gamma, const Tensor& beta, double eps, bool silu) {
  const auto u = at::group_norm(x, groups, gamma, beta, eps);
  return silu ? at::silu(u) : u;
}

struct Normalized {
  Tensor y, mean, rstd;
};

Normalized run(const Tensor& x, int64_t groups, const Tensor& gamma, const Tensor& beta, double eps, bool silu) {
  const auto shape = shape_of(x, groups);
  const auto options = x.options().memory_format(at::MemoryFormat::Contiguous);
  Normalized result{at::empty_like(x), at::empty({shape.images, groups}, options), at::empty({shape.images, groups}, options)};
  const float *from = x.const_data_ptr<float>(), *scale = gamma.const_data_ptr<float>(), *shift = beta.const_data_ptr<float>();
  float *to = result.y.mutable_data_ptr<float>(), *mean = result.mean.mutable_data_ptr<float>(),
        *rstd = result.rstd.mutable_data_ptr<float>();
  over_blocks(shape, [&](const Block& block) {
    forward_block(shape, block, eps, silu, from, scale, shift, to, mean + block.image * groups, rstd + block.image * groups);
  });
  return result;
}

struct GroupNorm : torch::autograd::Function<GroupNorm> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& gamma, const Tensor& beta, int64_t groups,
                        double eps, bool silu) {
    auto result = run(x, groups, gamma, beta, eps, silu);
    context->save_for_backward({x, gamma, beta, result.mean, result.rstd});
    context->saved_data["groups"] = groups;
    context->saved_data["eps"] = eps;
    context->saved_data["silu"] = silu;
    return result.y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &gamma = saved[1], &beta = saved[2];
    const int64_t groups = context->saved_data["groups"].toInt();
    const bool silu = context->saved_data["silu"].toBool();
    if (at::GradMode::is_enabled())  // somebody wants to differentiate once more: through operations that can
      return twice(x, gamma, beta, groups, context->saved_data["eps"].toDouble(), silu, gradients[0]);
    const auto g = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    const auto shape = shape_of(x, groups);
    auto dx = at::empty_like(x);
    auto by_image = at::empty({2, shape.images, shape.channels}, gamma.options());
    float* dgamma = by_image.mutable_data_ptr<float>();
    float* dbeta = dgamma + shape.images * shape.channels;
    const float *from = x.const_data_ptr<float>(), *by_y = g.const_data_ptr<float>(), *mean = saved[3].const_data_ptr<float>(),
                *rstd = saved[4].const_data_ptr<float>();
    over_blocks(shape, [&](const Block& block) {
      const int64_t n = block.image;
      backward_block(shape, block, silu, from, by_y, gamma.const_data_ptr<float>(), beta.const_data_ptr<float>(),
                     mean + n * groups, rstd + n * groups, dx.mutable_data_ptr<float>(), dgamma + n * shape.channels,
                     dbeta + n * shape.channels);
    });
    if (!context->needs_input_grad(1)) return {dx, Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
    const auto sums = by_image.sum(1);
    return {dx, sums[0], sums[1], Tensor(), Tensor(), Tensor()};
  }

  static variable_list twice(const Tensor& x, const Tensor& gamma, const Tensor& beta, int64_t groups, double eps, bool silu,
                             const Tensor& gradient) {
    const auto y = composed(x, groups, gamma, beta, eps, silu);
    variable_list inputs, result(6);
    std::vector<size_t> places;
    for (const auto& [place, input] : {std::pair<size_t, const Tensor&>{0, x}, {1, gamma}, {2, beta}}) {
      if (!input.requires_grad()) continue;
      inputs.push_back(input);
      places.push_back(place);
    }
    const auto found = torch::autograd::grad({y}, inputs, {gradient}, /*retain_graph=*/true, /*create_graph=*/true);
    for (size_t i = 0; i < places.size(); ++i) result[places[i]] = found[i];
    return result;
  }
};

bool takes(const Tensor& x, int64_t groups, const Tensor& gamma, const Tensor& beta) {
  const auto plain = [&](const Tensor& t) {
    return t.is_cpu() && t.scalar_type() == at::kFloat && t.is_contiguous() && t.numel() == x.size(1) && !t._fw_grad(0).defined();
  };
  return x.is_cpu() && x.scalar_type() == at::kFloat && x.dim() == 4 && x.numel() > 0 && groups > 0 &&
         x.size(1) % LANES == 0 && x.size(1) % groups == 0 && x.size(1) % std::lcm(LANES, x.size(1) / groups) == 0 &&
         x.is_contiguous(at::MemoryFormat::ChannelsLast) && plain(gamma) && plain(beta) && !x._fw_grad(0).defined();
}

}  // namespace

extern "C" char* fewstep_group_norm(at::Tensor* x, int64_t groups, at::Tensor* gamma, at::Tensor* beta, double eps,
                                    bool silu, at::Tensor** result) {
  return fewstep::guarded([&] {
    const auto images = x->is_cpu() ? x->to(at::kFloat) : *x;
    if (!takes(images, groups, *gamma, *beta)) {
      *result = new Tensor(composed(images, groups, *gamma, *beta, eps, silu));
      return;
    }
    const bool wanted = images.requires_grad() || gamma->requires_grad() || beta->requires_grad();
    *result = new Tensor(at::GradMode::is_enabled() && wanted
                             ? GroupNorm::apply(images, *gamma, *beta, groups, eps, silu)
                             : run(images, groups, *gamma, *beta, eps, silu).y);
  });
}
