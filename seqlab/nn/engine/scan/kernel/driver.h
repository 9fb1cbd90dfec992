// The loops over time: each step is one recurrent product and one call of the step's code. Before this text come
// vector.h, the sizes and struct Pointers (cpp.py), struct Arguments (arguments.py), and the step's code: the functions
// step, step_and_keep and adjoint.
//
// Sizes, in numbers of `real` where they measure memory:
//   T, B    steps and rows (sequences), a.steps and a.rows; N: the rows of all steps, T * B without padding
//   H       units; HP: H rounded up to whole vectors, so that each gate of gh begins at a vector
//   VL      lanes of a vector: 16 floats or 8 doubles with AVX-512, half as many with AVX, a quarter otherwise
//   G, GI   gates, and the numbers of a row of gi: G * H
//   NS, NE  parts of the state, and extras: tensors that a step reads beside its rows
//   SIZE    the width of each part of the state, SIZE[0] = H; STRIDE: that of its gradient, STRIDE[0] = HP
//   KEPT    spans of H numbers that a step saves for its adjoint outside of gi; KEPT_SHARED: single numbers
//   SUMS    numbers that the adjoint sums over rows and steps; SCRATCH: the numbers of a thread's own memory
//   TILE, PANELS, LAST, MOST: the product's tiles, below
// Switches:
//   REAL_IS_DOUBLE   `real` is double, else float
//   RECURRENT        there is a recurrent product
//   SHARED_GRADIENT  gi and gh have the same gradient, dgi
//   WHOLE_ROWS_FORWARD, WHOLE_ROWS_BACKWARD   a unit reads other units or their sum, so threads may not share a row
// Memory, (rows, numbers of a row):
//   gi (N, GI) = W_ih x + b_ih; the step may save its results there for the adjoint
//   gh (rows of a group, G * HP) = W_hh h + b_hh of one step
//   previous, next (., SIZE): the state before and after a step; all states: (B + N, SIZE), the initial rows first
//   kept (N, KEPT * H), kept_shared (N, KEPT_SHARED): what the step saves for its adjoint; extra: the extras
//   dgi (N, GI), dgh (N, G * H): gradients of gi and gh; dnext (N, SIZE): gradients to the states as outputs
//   dstate (B, STRIDE): the gradient to the state after a step, which its adjoint replaces by that to the state before
//   packed: W_hh in panels, for the product; sums (threads, 2, SUMS): the sums, and those of the last FLUSH steps
//   scratch (B, G * HP), which holds gh, then (threads, SCRATCH)
//   reset (T, B): whether a row begins anew before a step, which is not looked at for the first; initial (B, SIZE): the
//   states from which rows do, and dinitial (B, STRIDE) their gradients; held (B, SIZE): what these states stand for
//   during a step
// Work:
//   group   rows that run through the whole sequence by themselves; base: where a group's initial rows begin
//   block   the rows of a group at one step: first and count; stride: the distance between its rows, and
//           previous_stride that in the state before; ahead: the distance to the next step's block, for prefetches
//   column  one of the threads that share a group; share: its panels and units
//   panel   TILE columns of the packed weights, (H, TILE) for the step and (G * H, TILE) for the adjoint
//
// Rows do not depend on each other, so each group runs through the whole sequence without waiting for the others. If
// the weights outgrow a core's cache, several threads share a group. Each takes some of the units, computes their gates
// and their step, and waits for the other threads once a step (twice if a unit reads other units).
constexpr long TILE = 2 * VL;                                              // columns of a panel of packed weights
constexpr long PANELS = (H + TILE - 1) / TILE;                             // panels of a gate
constexpr long LAST = H - (PANELS - 1) * TILE <= VL ? VL : TILE;           // columns of a gate's last panel
static_assert(HP >= (PANELS - 1) * TILE + LAST, "the padded width holds every panel");
#if VECTOR_BYTES == 64
constexpr long MOST = 12;  // rows of a tile: 24 sums, 2 weights and a value of the state fit into 32 registers
#else
constexpr long MOST = 6;
#endif

struct Barrier {
  std::atomic<long> arrived{0}, round{0};
  long members = 1;
  char apart[64];  // one cache line each
  void wait() {
    if (members == 1) return;
    const long now = round.load(std::memory_order_relaxed);
    if (arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == members) {
      arrived.store(0, std::memory_order_relaxed);
      round.store(now + 1, std::memory_order_release);
      return;
    }
    for (long spins = 0; round.load(std::memory_order_acquire) == now; ++spins) {
      if (spins > 4000) sched_yield();  // another thread may have lost its core: yield this one
#if defined(__x86_64__)
      else __builtin_ia32_pause();
#endif
    }
  }
};

// c (M, N vectors) = start + a (M, depth) panel (depth, N vectors). Rows of start are `start_stride` apart, 0 for one.
template <int M, int N>
INLINE void tile(const real* a, long a_stride, const real* panel, long depth, real* c, long c_stride, const real* start,
                 long start_stride) {
  vec sum[M][N];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[m][n] = start ? load(start + m * start_stride + n * VL) : vec{};
  for (long k = 0; k < depth; ++k) {
    vec weights[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) weights[n] = load(panel + (k * N + n) * VL);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const vec value = splat(a[m * a_stride + k]);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[m][n] += value * weights[n];
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) store(c + m * c_stride + n * VL, sum[m][n]);
}

template <int N>
static void tiles(long rows, const real* a, long a_stride, const real* panel, long depth, real* c, long c_stride,
                  const real* start, long start_stride) {
  const long blocks = (rows + MOST - 1) / MOST;
  for (long block = 0, row = 0; block < blocks; ++block) {
    const long count = (rows - row) / (blocks - block);
    const real* from = a + row * a_stride;
    real* to = c + row * c_stride;
    const real* begin = start ? start + row * start_stride : nullptr;
    switch (count) {
#define CASE(M) \
  case M: tile<M, N>(from, a_stride, panel, depth, to, c_stride, begin, start_stride); break;
      CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if VECTOR_BYTES == 64
      CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
    }
    row += count;
  }
}

// The weights in panels: for the step, columns are a gate's units; for the adjoint, the units of the previous state.
// weight (G * H, H) -> packed (G * PANELS panels, H, width)
static void pack_step(const real* weight, real* packed, long panel) {
  const long gate = panel / PANELS, first = panel % PANELS * TILE;
  const long width = panel % PANELS == PANELS - 1 ? LAST : TILE;
  real* to = packed + panel * H * TILE;
  for (long begin = 0; begin < H; begin += 16) {
    const long end = begin + 16 < H ? begin + 16 : H;
    for (long n = 0; n < width; ++n) {
      const real* from = weight + (gate * H + first + n) * H;
      const bool real_column = first + n < H;
      for (long k = begin; k < end; ++k) to[k * width + n] = real_column ? from[k] : real(0);
    }
  }
}

// weight (G * H, H) -> packed (PANELS panels, G * H, width)
static void pack_adjoint(const real* weight, real* packed, long panel) {
  const long first = panel * TILE, width = panel == PANELS - 1 ? LAST : TILE;
  const long real_columns = H - first < width ? H - first : width;
  real* to = packed + panel * G * H * TILE;
  for (long n = 0; n < G * H; ++n) {
    for (long i = 0; i < real_columns; ++i) to[n * width + i] = weight[n * H + first + i];
    for (long i = real_columns; i < width; ++i) to[n * width + i] = 0;
  }
}

struct Share {  // a thread's part of a group's step: its panels and its units
  long panel_begin, panel_end, unit_begin, unit_end;
};

static Share share_of(long column, long columns) {
  Share share;
  share.panel_begin = PANELS * column / columns;
  share.panel_end = PANELS * (column + 1) / columns;
  share.unit_begin = share.panel_begin * TILE;
  share.unit_end = share.panel_end * TILE < H ? share.panel_end * TILE : H;
  return share;
}

static Pointers pointers_at(const Arguments& a, long t, long group, long direction) {
  Pointers p;
  const long first = a.first[t * a.groups + group], after = t + direction;
  p.ahead = after >= 0 && after < a.steps ? a.first[after * a.groups + group] - first : 0;
  const long previous = t ? a.rows + a.first[(t - 1) * a.groups + group] : a.base[group];
  p.stride = a.stride;
  p.previous_stride = t ? a.stride : 1;
  p.gi = a.gi ? a.gi + first * GI : nullptr;
  p.gh = nullptr;
  for (long s = 0; s < NS; ++s) {
    p.previous[s] = a.state[s] + previous * SIZE[s];
    p.next[s] = a.state[s] + (a.rows + first) * SIZE[s];
    p.dnext[s] = a.dnext[s] ? a.dnext[s] + first * SIZE[s] : nullptr;
    p.dstate[s] = a.dstate[s] ? a.dstate[s] + a.base[group] * STRIDE[s] : nullptr;
  }
  for (long e = 0; e < NE; ++e) p.extra[e] = a.extra[e];
  p.kept = a.kept ? a.kept + first * KEPT * H : nullptr;
  p.kept_shared = a.kept_shared ? a.kept_shared + first * KEPT_SHARED : nullptr;
  p.dgi = a.dgi ? a.dgi + first * GI : nullptr;
  p.dgh = a.dgh ? a.dgh + first * G * H : nullptr;
  return p;
}

// The first row of a block, from `row` on, that begins anew before step t; `end` if there is none.
static long next_reset(const Arguments& a, long t, long group, long row, long end) {
  if (!a.reset || !t || row >= end) return end;
  const unsigned char* flags = a.reset + t * a.rows + a.base[group];
  const void* found = std::memchr(flags + row, 1, end - row);
  return found ? static_cast<const unsigned char*>(found) - flags : end;
}

// Puts initial states in the place of the states before step t, in the rows that begin anew, or takes them out again:
// the units of a thread's share, for another thread may still be at the step before.
static void exchange(const Arguments& a, const Pointers& p, long t, long group, long count, const Share& share,
                     bool put) {
  for (long row = next_reset(a, t, group, 0, count); row < count; row = next_reset(a, t, group, row + 1, count))
    for (long s = 0; s < NS; ++s) {
      real* state = const_cast<real*>(p.previous[s]) + row * p.previous_stride * SIZE[s];  // a part of a.state
      real* held = a.held[s] + (a.base[group] + row) * SIZE[s];
      const real* initial = a.initial[s] + (a.base[group] + row) * SIZE[s];
      for (long offset = 0; offset < SIZE[s]; offset += H)
        for (long i = offset + share.unit_begin; i < offset + share.unit_end && i < SIZE[s]; ++i) {
          if (put) held[i] = state[i];
          state[i] = put ? initial[i] : held[i];
        }
    }
}

// The pointers for the rows from `row` to `stop`, which one call can run: p for the rows up to the next reset, or
// `anew` for one reset, whose state before stands among the initial ones.
static const Pointers& next_rows(const Arguments& a, const Pointers& p, long t, long group, long row, long end,
                                 long& stop, Pointers& anew) {
  stop = next_reset(a, t, group, row, end);
  if (stop > row) return p;
  stop = row + 1;
  anew = p;
  anew.previous_stride = 0;
  for (long s = 0; s < NS; ++s) anew.previous[s] = a.initial[s] + (a.base[group] + row) * SIZE[s];
  return anew;
}

// Moves the gradient to the state before step t, in the rows that begin anew, to their initial states.
static void give_to_initial(const Arguments& a, const Pointers& p, long t, long group, long begin, long end,
                            long unit_begin, long unit_end) {
  for (long row = next_reset(a, t, group, begin, end); row < end; row = next_reset(a, t, group, row + 1, end))
    for (long s = 0; s < NS; ++s) {
      real* from = p.dstate[s] + row * STRIDE[s];
      real* to = a.dinitial[s] + (a.base[group] + row) * STRIDE[s];
      for (long offset = 0; offset < SIZE[s]; offset += H)
        for (long i = offset + unit_begin; i < offset + unit_end && i < SIZE[s]; ++i) to[i] += from[i], from[i] = 0;
    }
}

// The rows of a block that a thread runs if the step needs whole rows.
static void rows_of(long count, long column, long columns, long& begin, long& end) {
  begin = count * column / columns;
  end = count * (column + 1) / columns;
}

static void run_forward(const Arguments& a, long group, long column, long columns, Barrier& barrier, real* scratch) {
  const Share share = share_of(column, columns);
  real* products = a.scratch + a.base[group] * G * HP;  // (rows of the group, G * HP)
  for (long t = 0; t < a.steps; ++t) {
    const long count = a.count[t * a.groups + group];
    if (!count) break;  // rows are sorted by length, so no later block has rows
    Pointers p = pointers_at(a, t, group, 1);
    const bool anew = next_reset(a, t, group, 0, count) < count;
    if (anew) {
      exchange(a, p, t, group, count, share, true);
      if (RECURRENT) barrier.wait();
    }
    if (RECURRENT) {
      for (long panel = share.panel_begin; panel < share.panel_end; ++panel)
        for (long gate = 0; gate < G; ++gate) {
          const real* packed = a.packed + (gate * PANELS + panel) * H * TILE;
          real* to = products + gate * HP + panel * TILE;
          const long from = p.previous_stride * SIZE[0];
          const real* bias = a.bias ? a.bias + gate * HP + panel * TILE : nullptr;
          if (panel == PANELS - 1 && LAST == VL)
            tiles<1>(count, p.previous[0], from, packed, H, to, G * HP, bias, 0);
          else
            tiles<2>(count, p.previous[0], from, packed, H, to, G * HP, bias, 0);
        }
      p.gh = products;
    }
    long begin = 0, end = count, unit_begin = share.unit_begin, unit_end = share.unit_end;
    if (WHOLE_ROWS_FORWARD) {
      barrier.wait();
      rows_of(count, column, columns, begin, end);
      unit_begin = 0, unit_end = H;
    }
    if (a.save)
      step_and_keep(p, begin, end, unit_begin, unit_end, scratch);
    else
      step(p, begin, end, unit_begin, unit_end, scratch);
    if (RECURRENT || WHOLE_ROWS_FORWARD) barrier.wait();
    if (anew) exchange(a, p, t, group, count, share, false);
  }
}

static void run_backward(const Arguments& a, long group, long column, long columns, Barrier& barrier, real* scratch,
                         real* sums) {
  const Share share = share_of(column, columns);
  constexpr long FLUSH = 32;  // this many steps are summed first, which keeps the rounding errors of long sums small
  long t = a.steps - 1;
  while (t >= 0 && !a.count[t * a.groups + group]) --t;
  for (long since = 1; t >= 0; --t, ++since) {
    const long count = a.count[t * a.groups + group];
    Pointers p = pointers_at(a, t, group, -1);
    p.sums = sums + SUMS;
    long begin = 0, end = count, unit_begin = share.unit_begin, unit_end = share.unit_end;
    if (WHOLE_ROWS_BACKWARD) {
      rows_of(count, column, columns, begin, end);
      unit_begin = 0, unit_end = H;
    }
    // Now and not at the end of the step after: another thread may have run these rows there.
    if (t + 1 < a.steps) give_to_initial(a, p, t + 1, group, begin, end, unit_begin, unit_end);
    Pointers anew;
    for (long row = begin, stop; row < end; row = stop) {
      const Pointers& rows = next_rows(a, p, t, group, row, end, stop, anew);
      adjoint(rows, row, stop, unit_begin, unit_end, scratch);
    }
    if (RECURRENT || WHOLE_ROWS_BACKWARD) barrier.wait();
    if (RECURRENT) {
      for (long panel = share.panel_begin; panel < share.panel_end; ++panel) {
        const real* packed = a.packed + panel * G * H * TILE;
        real* to = p.dstate[0] + panel * TILE;
        const real* from = SHARED_GRADIENT ? p.dgi : p.dgh;
        if (panel == PANELS - 1 && LAST == VL)
          tiles<1>(count, from, p.stride * G * H, packed, G * H, to, STRIDE[0], to, STRIDE[0]);
        else
          tiles<2>(count, from, p.stride * G * H, packed, G * H, to, STRIDE[0], to, STRIDE[0]);
      }
      if (WHOLE_ROWS_BACKWARD) barrier.wait();
    }
    if (since % FLUSH == 0 || t == 0)
      for (long i = 0; i < SUMS; ++i) sums[i] += sums[SUMS + i], sums[SUMS + i] = 0;
  }
}

template <bool FORWARD>
static void run(const Arguments& a) {
  Barrier* barriers = new Barrier[a.groups];
  Barrier all;
#ifdef _OPENMP
#pragma omp parallel num_threads(a.threads)
#endif
  {
#ifdef _OPENMP
    const long id = omp_get_thread_num(), threads = omp_get_num_threads();
#pragma omp single
#else
    const long id = 0, threads = 1;
#endif
    {
      all.members = threads;
      for (long g = 0; g < a.groups; ++g) barriers[g].members = threads >= a.groups * a.columns ? a.columns : 1;
    }
    if (RECURRENT) {
      const long panels = FORWARD ? G * PANELS : PANELS;
      for (long panel = id; panel < panels; panel += threads)
        FORWARD ? pack_step(a.weight, a.packed, panel) : pack_adjoint(a.weight, a.packed, panel);
      all.wait();
    }
    real* scratch = a.scratch + a.rows * G * HP + id * SCRATCH;
    real* sums = a.sums ? a.sums + id * 2 * SUMS : nullptr;
    if (threads >= a.groups * a.columns) {
      if (id < a.groups * a.columns) {
        const long group = id / a.columns, column = id % a.columns;
        if (FORWARD)
          run_forward(a, group, column, a.columns, barriers[group], scratch);
        else
          run_backward(a, group, column, a.columns, barriers[group], scratch, sums);
      }
    } else {  // OpenMP has started fewer threads than requested
      for (long group = id; group < a.groups; group += threads) {
        if (FORWARD)
          run_forward(a, group, 0, 1, barriers[group], scratch);
        else
          run_backward(a, group, 0, 1, barriers[group], scratch, sums);
      }
    }
  }
  delete[] barriers;
}

extern "C" void seqlab_forward(const Arguments* arguments) { run<true>(*arguments); }
extern "C" void seqlab_backward(const Arguments* arguments) { run<false>(*arguments); }
extern "C" long seqlab_size(void) { return sizeof(Arguments); }
extern "C" long seqlab_padded(void) { return HP; }
extern "C" long seqlab_scratch(void) { return SCRATCH; }
