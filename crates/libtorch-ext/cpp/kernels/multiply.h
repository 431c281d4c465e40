// Products of small matrices that are in the cache already.
#pragma once

#include <cstdint>

namespace fewstep {

// Columns of a block: two vectors. A matrix of other width ends with a block of one vector.
constexpr int64_t BLOCK = 32;

// c[i][j] (= or +=) sum over k of a[i][k] b[k][j] for `columns` (16 or 32) columns.
struct Product {
  const float* a;
  int64_t a_row, a_column;  // distances between rows and columns of `a`
  const float* b;
  int64_t b_row;
  float* c;
  int64_t c_row;
  int64_t rows, columns, depth;
  bool add;
};

void multiply(const Product& product);

}  // namespace fewstep
