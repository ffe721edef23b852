// The one call site for matrix products on the host. The right-hand side (weights) is packed once
// per training step and read by all threads; the left-hand side is read in place.
// Invariant that bitwise reproducibility rests on: an element of a result is one chain of fused
// multiply-adds in a fixed order (over segments, then k; for transposed products over the rows of a
// lane and the components of each, then the balanced tree over lanes), whatever the number of rows in the
// call.
#pragma once

#include "tether/core/types.hpp"

#include <span>
#include <vector>

namespace tether::device {

// Elements of a packed [k x n] matrix (columns are padded to whole vectors).
template <class T>
[[nodiscard]] Index packed_size(Index k, Index n);

// Packs w[i * k_stride + j * n_stride], i < k, j < n.
template <class T>
void pack(const T* w, Index k_stride, Index n_stride, Index k, Index n, T* packed);

// One term of a sum of products: rows of `a` (row r at a + r * row_stride) times a packed matrix.
template <class T>
struct ProductTerm {
    const T* a;
    Index row_stride;
    Index k;
    const T* packed;
};

// c[r, 0..n) = (accumulate ? c : bias or 0) + sum over terms.  c_stride between rows of c.
template <class T>
void multiply(Index rows, std::span<const ProductTerm<T>> terms, Index n, T* c, Index c_stride, const T* bias,
              bool accumulate);

// One batched factor of a transposed product: row r, component m at data + r * row_stride + m *
// component_stride.
template <class T>
struct Factor {
    const T* data;
    Index row_stride;
    Index component_stride;
    Index columns;
};

// c[i, j] = (accumulate ? c : 0) + tree over lanes of sum over rows of the lane and components of
// a[., i] b[., j]. `lane_begin`: first row of each lane and the end. c_stride between rows of c.
template <class T>
void multiply_transposed(std::span<const Index> lane_begin, Index components, Factor<T> a, Factor<T> b, T* c,
                         Index c_stride, bool accumulate, std::vector<T>& scratch);

// Some rows of one lane: c[i, j] += sum over rows and components of a[., i] b[., j], the chain going on
// from c. Rows of c are padded_columns(b.columns) apart; the padding is written.
template <class T>
[[nodiscard]] Index padded_columns(Index n);
template <class T>
void accumulate_transposed(Index rows, Index components, Factor<T> a, Factor<T> b, T* c,
                           std::vector<T>& scratch);

} // namespace tether::device
